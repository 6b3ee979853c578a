"""The reproduction board: every printed mean is there, ours are the stored results, and a changed number changes the page."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from infocore_mini.experiments import board, results
from infocore_mini.experiments.results import paper_table, stored

NUMBER = re.compile(r"-?\d+\.?\d*")


@pytest.fixture(scope="module")
def sections() -> dict[str, board.Section]:
    return {section.title: section for section in board.sections()}


def printed(section: board.Section) -> Counter:
    """The numbers of the lines that are the paper's, s.d. left out."""
    own = [line for line in section.lines if line.source.startswith(board.PAPER) and "= 100" not in line.source]
    return Counter(float(NUMBER.findall(cell)[0]) for line in own for cell in line.cells.values())


def of_retrieval(rows) -> Counter:
    return Counter(value for row in rows for library in ("whole", "batch") for value in row[library].values())


def test_every_mean_that_the_paper_prints_is_there(sections):
    expected = {
        f"Table {table}, {screen.replace('_', ' ')}": of_retrieval(rows)
        for table, name in (("2", "table2_retrieval"), ("7", "table7_retrieval_by_framework"))
        for screen, rows in paper_table(name).items()
    }
    expected["Table 5, ablation"] = of_retrieval(paper_table("table5_ablation_gene_expression"))
    of_fairness = paper_table("table4_and_9_fairness")
    first = ("accuracy", "equalized_odds", "equal_opportunity")
    expected["Table 4, fairness"] = Counter(row[name] for row in of_fairness for name in first)
    expected["Table 9, fairness"] = Counter(row["demographic_parity"] for row in of_fairness)
    expected["Table 6, simulation"] = Counter(
        row[side][target][0]
        for row in paper_table("table6_simulation_linear_probe_accuracy")
        for side in ("drug_screens", "drug_structure")
        for target in ("effect", "batch")
    )
    rows = paper_table("table3_and_8_property_prediction")["rows"]
    by_simclr = [row for row in rows if row["framework"] == "SimCLR" and row["method"] != "CCL"]
    expected["Table 8, SimCLR"] = Counter(value for row in by_simclr for value in row["mean"].values())
    rest = [row for row in rows if row not in by_simclr]
    expected["Table 3, MoCo"] = Counter(value for row in rest for value in row["mean"].values())
    assert {title: printed(section) for title, section in sections.items()} == expected
    assert sum(count.total() for count in expected.values()) == 297


def test_the_sections_stand_in_the_papers_order(sections):
    numbers = [int(re.match(r"Table (\d)", title)[1]) for title in sections]
    assert numbers == sorted(numbers) and set(numbers) == set(range(2, 10))


def test_every_line_names_its_data_and_every_blank_cell_its_reason(sections):
    for section in sections.values():
        for line in section.lines:
            if line.source.startswith(board.PAPER):
                assert set(line.cells) == set(section.columns)
                continue
            assert "real" in line.source or "simulated" in line.source or "not pretrained" in line.source
            missing = set(section.columns) - set(line.cells)
            assert not missing or ("Blank at" in section.note and "Connectivity Map" in line.source)


def by_hand(name: str, arm: str, library: str, top: int) -> np.ndarray:
    """Accuracy of each seed, from the JSON."""
    values = {
        row["seed"]: cell["accuracy"]
        for row in stored(name).results
        if row["arm"] == arm
        for cell in row["retrieval"]
        if (cell["cell_line"], cell["library"], cell["top"]) == ("mean", library, top)
    }
    return np.array([values[seed] for seed in sorted(values)])


@pytest.mark.parametrize("table", ["Table 2, gene expression", "Table 2, cell painting", "Table 5, ablation"])
def test_ratios_of_simulated_screens_are_those_of_the_stored_runs(sections, table):
    name = {"4": "gene_expression", "5": "cell_painting", "9": "ablation"}[str(int(sections[table].chapter[:2]))]
    reference = "CLIP" if name == "ablation" else "clip"
    keys = {"CCL": "ccl", "InfoCORE": "infocore"} if name != "ablation" else {}
    lines = [line for line in sections[table].lines if "simulated" in line.source]
    assert len(lines) == {"ablation": 7}.get(name, 4)
    for line in lines:
        if line.row in ("CLIP", board.RANDOM):
            continue
        for column, cell in line.cells.items():
            library, top = re.match(r"(\w+) (\d+)", column).groups()
            arm = keys.get(line.row, line.row)
            ours, theirs = (by_hand(name, each, library, int(top)) for each in (arm, reference))
            ratio = 100 * ours / theirs
            assert float(NUMBER.findall(cell)[0]) == pytest.approx(ratio.mean(), abs=0.51)
            half = stats.t.ppf(0.975, len(ratio) - 1) * stats.sem(ratio)
            assert float(NUMBER.findall(cell)[1]) == pytest.approx(half, abs=0.51)


def test_percent_of_real_screens_are_those_of_the_stored_runs(sections):
    for line in sections["Table 2, cell painting"].lines:
        if line.source.startswith("COMAS") and line.row != board.RANDOM:
            for column, cell in line.cells.items():
                library, top = re.match(r"(\w+) (\d+)", column).groups()
                mean = 100 * by_hand("comas", line.row.lower(), library, int(top)).mean()
                assert cell.endswith(f"[{mean:.1f}]")


def test_the_simulation_is_the_mean_over_draws(sections):
    rows = stored("simulation").results["scores"]["default"]
    sides = {"Z_g": "screen", "Z_d": "drug"}
    ours = [line for line in sections["Table 6, simulation"].lines if "simulated" in line.source]
    assert len(ours) == 3
    for line in ours:
        for column, cell in line.cells.items():
            symbol, target = re.match(r"\$(\w+)\$, (\w+)", column).groups()
            keys = zip(rows["method"], rows["view"], rows[target], strict=True)
            scores = [
                100 * score for method, view, score in keys if (method, view) == (line.row.lower(), sides[symbol])
            ]
            assert len(scores) == 40 and float(NUMBER.findall(cell)[0]) == pytest.approx(np.mean(scores), abs=0.051)


def test_properties_are_means_over_seeds(sections):
    cells = stored("property").results["cells"]
    line = next(line for line in sections["Table 3, MoCo"].lines if line.source == "not pretrained")
    for dataset in ("BBBP", "HIV", "PRISM"):
        scores = [100 * cell["test"] for cell in cells if (cell["dataset"], cell["arm"]) == (dataset, "Mol2vec")]
        assert float(NUMBER.findall(line.cells[dataset])[0]) == pytest.approx(np.mean(scores), abs=0.051)


def test_a_changed_number_changes_the_page(tmp_path, monkeypatch):
    """The board reads the files: a stored accuracy doubled in a copy shows."""
    before = board._markdown(board._table_5())
    record = json.loads(results.data_file("results/ablation.json").read_text(encoding="utf-8"))
    for cell in record["results"][0]["retrieval"]:
        cell["accuracy"] *= 2
    (tmp_path / "ablation.json").write_text(json.dumps(record), encoding="utf-8")
    real = results.data_file

    def changed(name: str):
        return tmp_path / "ablation.json" if name == "results/ablation.json" else real(name)

    monkeypatch.setattr(results, "data_file", changed)
    assert board._markdown(board._table_5()) != before


def test_the_page_is_markdown_with_whole_tables(sections):
    page = board.page()
    assert page.count("### Table") == len(sections)
    for block in page.split("### ")[1:]:
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) == 1 and "nan" not in block.lower()
