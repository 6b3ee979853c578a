"""Tables of the derivation, and the sentences that say what they hold at the notebook's own parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from infocore_mini.bounds.propositions import MultiSampleBound
from infocore_mini.evaluate.seeds import detectable, outcome, paired, t_interval
from infocore_mini.experiments.derivation.training import BOUNDS
from infocore_mini.experiments.names import listed
from infocore_mini.losses import ccl_loss, infocore_loss

LEVEL = 0.1  # nats, the margin of the plan


# ------------------------------------------------------------------ at the optimum


def errors_at_the_optimum(truth: Sequence[float], estimates: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Bias, standard deviation and root mean squared error in nats: a row a truth, columns (estimator, what).

    Args:
        truth: (t,) nats.
        estimates: name -> (t, repeats).
    """
    columns = {}
    for name, values in estimates.items():
        error = np.asarray(values) - np.asarray(truth)[:, None]
        columns[name, "bias"], columns[name, "s.d."] = error.mean(1), error.std(1, ddof=1)
        columns[name, "RMSE"] = np.sqrt((error**2).mean(1))
    return pd.DataFrame(columns, index=pd.Index(np.round(truth, 2), name="truth"))


def at_the_optimum(errors: pd.DataFrame) -> str:
    """Markdown: which estimator is nearer to the truth where, and which scatters more."""
    first, second = errors.columns.unique(0)
    lower, calmer = errors[first, "RMSE"] < errors[second, "RMSE"], errors[first, "s.d."] > errors[second, "s.d."]
    ratio = errors[first, "s.d."] / errors[second, "s.d."]
    where = {
        name: [f"{truth:.1f}" for truth in errors.index[rows]] for name, rows in ((first, lower), (second, ~lower))
    }
    nearer = "; ".join(f"{name} at {listed(truths)} nats" for name, truths in where.items() if truths)
    lines = [
        f"- The lower root mean squared error: {nearer}.",
        f"- The larger standard deviation: {first} at {calmer.sum()} of {len(errors)} truths, "
        f"{ratio.iloc[0]:.1f} times the other's at {errors.index[0]:.1f} nats, {ratio.iloc[-1]:.1f} times at {errors.index[-1]:.1f}.",
    ]
    if lower.iloc[-1]:
        lines.append(
            f"- So where information is large the bias of {second} costs more than the variance of {first}: "
            "at the optimum this figure is *no* reason to prefer the second."
        )
    return "\n".join(lines)


# ------------------------------------------------------------------ in training


def final_scores(rows: pd.DataFrame, parameters: Mapping) -> pd.DataFrame:
    """The seeds to report at each bound's best learning rate, all scored steps: rows of ``training.train`` with what they are of.

    Args:
        rows: of the stored study ``critics``.
        parameters: its settings; the learning rate is the best mean score of the tuning seeds after the last step.
    """
    last = rows[(rows["step"] == parameters["steps"]) & rows["seed"].isin(parameters["tuning_seeds"])]
    score = (
        last.assign(score=last["score"].fillna(-math.inf)).groupby(["truth", "bound", "learning rate"])["score"].mean()
    )
    best = score.groupby(level=["truth", "bound"]).idxmax()
    keys = pd.MultiIndex.from_frame(rows[["truth", "bound", "learning rate"]])
    return rows[keys.isin(list(best)) & rows["seed"].isin(parameters["seeds"])].reset_index(drop=True)


def trained(scores: pd.DataFrame) -> pd.DataFrame:
    """What each bound's critics reach, in nats: rows (truth, bound); mean and half of the 95 % interval over seeds as text.

    Columns: learning rate, "score" after the last step, "Proposition 2 minus it" paired by seed, "could be seen" (the
    smallest true difference that would be told from zero with power 0.8), "lowest estimate" of the bound in training.
    """
    last = scores[scores["step"] == scores["step"].max()]
    table = {}
    for truth, part in last.groupby("truth"):
        by_seed = part.pivot(index="seed", columns="bound", values="score")
        for bound in BOUNDS:
            one = part[part["bound"] == bound]
            lead = by_seed["Proposition 2"] - by_seed[bound]
            row = {"learning rate": f"{one['learning rate'].iloc[0]:g}", "score": _with_half(one["score"], 2)}
            row |= {"Proposition 2 minus it": "", "could be seen": ""}
            if bound != "Proposition 2":
                row["Proposition 2 minus it"] = _interval(paired(by_seed["Proposition 2"], by_seed[bound]), 2)
                row["could be seen"] = f"{detectable(lead):.2f}"
            table[f"{truth:.2f}", bound] = row | {"lowest estimate": _with_half(one["lowest"], 1)}
    return pd.DataFrame(table).T.rename_axis(["truth", "bound"])


def in_training(scores: pd.DataFrame) -> str:
    """Markdown: whether Proposition 2 trains the better critic, seed by seed, and what the bounds reported on the way."""
    last = scores[scores["step"] == scores["step"].max()]
    lines = []
    for bound in BOUNDS:
        if bound == "Proposition 2":
            continue
        said: dict[str, list[str]] = {}
        for truth, part in last.groupby("truth"):
            by_seed = part.pivot(index="seed", columns="bound", values="score")
            lead = paired(by_seed["Proposition 2"], by_seed[bound])
            said.setdefault(_outcome(lead), []).append(f"{truth:.1f} nats ({_interval(lead, 2)})")
        outcomes = "; ".join(f"{outcome} at {listed(places)}" for outcome, places in said.items())
        lines.append(f"- The critic trained with Proposition 2, against {bound}: {outcomes}.")
    lowest = last.groupby(["truth", "bound"])["lowest"].mean().unstack()
    lines.append(
        "- The lowest value that the bound itself reported in training, mean over seeds: "
        + "; ".join(
            f"at {truth:.1f} nats {row['Proposition 1']:.0f} nats by Proposition 1, {row['Proposition 2']:.0f} by Proposition 2"
            for truth, row in lowest.iterrows()
        )
        + "."
    )
    return "\n".join(lines)


def gradients_said(table: pd.DataFrame, scores: pd.DataFrame) -> str:
    """Markdown: at how many fractions c, and how many scored steps, Proposition 1 has the noisier gradient.

    Args:
        table: rows of ``training.gradient_signal`` of several screens, with "truth".
        scores: of ``final_scores``.
    """
    wide = table.pivot(index=["truth", "c"], columns="bound", values=["signal to noise", "heaviest 1 %"])
    signal, heavy = wide["signal to noise"], wide["heaviest 1 %"]
    early = scores[scores["step"] == 0].groupby(["truth", "bound"])[["signal to noise", "heaviest 1 %"]].mean()
    start = early.unstack()
    noisier = int((signal["Proposition 1"] < signal["Proposition 2"]).sum())
    said = (
        f"- In the one direction $c$, Proposition 1 has the smaller ratio of signal to noise in {noisier} of {len(wide)} "
        f"rows, and the larger share on the heaviest 1 % in {int((heavy['Proposition 1'] > heavy['Proposition 2']).sum())}."
    )
    lines = [said + (" That is not the pattern that we had expected." if 2 * noisier <= len(wide) else "")]
    parts = []
    for what, text in (("signal to noise", "signal to noise"), ("heaviest 1 %", "share of the heaviest 1 %")):
        pairs = start[what][["Proposition 1", "Proposition 2"]]
        unit = 100 if what == "heaviest 1 %" else 1
        values = "; ".join(
            f"{unit * row['Proposition 1']:.{0 if unit > 1 else 1}f} against {unit * row['Proposition 2']:.{0 if unit > 1 else 1}f}"
            f"{' %' if unit > 1 else ''} at {truth:.1f} nats"
            for truth, row in pairs.iterrows()
        )
        parts.append(f"{text}, Proposition 1 against 2: {values}")
    lines += [f"- In all parameters, before the first step, {part}." for part in parts]
    return "\n".join(lines)


def _outcome(lead) -> str:
    if -LEVEL < lead.low and lead.high < LEVEL:
        return f"level within {LEVEL} nats"
    return outcome(lead.low, lead.high, more="better", less="worse")


def _with_half(values: pd.Series, digits: int) -> str:
    mean, low, _ = t_interval(values)
    return f"{mean:.{digits}f} ± {mean - low:.{digits}f}"


def _interval(found, digits: int) -> str:
    return f"{found.mean:+.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


# ------------------------------------------------------------------ what depends on alpha


def without_correction(full: pd.DataFrame, reduced: pd.DataFrame, truth: float, alpha: float) -> str:
    """Markdown: the bound with and without C at the largest K, and whether the better posteriors give the better bound.

    Args:
        full, reduced: rows K, columns "optimum", "arithmetic", "geometric", "experts".
        truth: nats.
    """
    K = full.index[-1]
    last, mixed = reduced.loc[K], reduced.loc[K, ["arithmetic", "geometric"]]
    lost = full.loc[K, "optimum"] - last["optimum"]
    order = "below" if last["experts"] < mixed.min() else "above" if last["experts"] > mixed.max() else "between"
    moral = {
        "below": "the better posteriors make the *worse* bound, once $C$ is dropped",
        "above": "here the better posteriors also make the better bound, which need not be so",
        "between": "so the better posteriors need not make the better bound, once $C$ is dropped",
    }[order]
    both = "both mixtures" if order != "between" else "the two mixtures"
    return (
        f"At $K = {K}$ the full bound at the stated optimum is {full.loc[K, 'optimum']:.3f} of {truth:.3f} nats; "
        f"dropping $C$ costs {lost:.3f}.\n"
        f"Without $C$ and at $\\alpha = {alpha:g}$ the arithmetic mixture gives {mixed['arithmetic']:.3f}, the geometric one "
        f"{mixed['geometric']:.3f}, and the experts, which are exact on this screen, {last['experts']:.3f}, {order} {both}: "
        f"{moral}."
    )


def signs(C: pd.DataFrame, alpha: float) -> str:
    """Markdown: which families of posteriors kept C at or above zero in every random case, and which did not.

    Args:
        C: a row a case, a column a family.
    """
    negative = (C < -1e-12).sum()
    kept, broken = negative.index[negative == 0], negative.index[negative > 0]
    said = f"At $\\alpha = {alpha:g}$, in {len(C)} random cases, $C$ never fell below zero for {listed(list(kept))}"
    if len(broken):
        said += "; it did for " + listed([f"{name} ({negative[name]} cases)" for name in broken])
    return said + "."


def overshoot(found: MultiSampleBound, truth: float, alpha: float) -> str:
    """Markdown: whether the bound without C passes the truth, where the candidates' classifiers are undecided."""
    if found.reduced > truth:
        said = f'Without $C$ the "bound" overshoots by {found.reduced - truth:.3f} nats'
    else:
        said = f"At $\\alpha = {alpha:g}$ the bound without $C$ stays {truth - found.reduced:.3f} nats below the truth"
    sign = f"negative, {found.correction:.3f}," if found.correction < -1e-12 else "not negative,"
    return f"{said}; $C$ is {sign} and with it the bound is {found.full:.3f} of {truth:.3f}."


# ------------------------------------------------------------------ two limits of the loss


def towards_ccl(
    data: tuple[Tensor, Tensor, Tensor], n_batches: int, sharpness: Sequence[float], *, temperature: float
) -> pd.DataFrame:
    """InfoCORE's loss at alpha = 0 beside CCL's, as the classifiers become sure and right.

    Args:
        data: z_screen, z_drug (n, d) of unit norm, batch_id (n,).
        n_batches: n_B.
        sharpness: logit of the right experimental batch; 0 for the others.

    Returns:
        A row for each sharpness: "doubt", 1 - p_hat(own batch); "difference", InfoCORE minus CCL; "at least", "at most",
        the bounds of the chapter; "gradient", largest difference of the two gradients.
    """
    z = [side.clone().requires_grad_() for side in data[:2]]
    batch_id, own = data[2], one_hot(data[2], n_batches).to(data[0])
    ccl = ccl_loss(*z, batch_id, temperature=temperature)
    ccl_slope = torch.autograd.grad(ccl, z)
    others = 1 / own.sum(0)[batch_id] * len(batch_id) - 1  # (n - n_b) / n_b of each anchor
    rows = []
    for logit in sharpness:
        log_posterior = (logit * own).log_softmax(1)
        loss = infocore_loss(*z, batch_id, log_posterior, log_posterior, alpha=0.0, temperature=temperature)
        slope = torch.autograd.grad(loss, z)
        doubt = float(-torch.expm1(log_posterior.max(1).values).min())
        rows.append(
            {
                "doubt": doubt,
                "at least": math.log1p(-doubt),
                "difference": float((loss - ccl).detach()),
                "at most": float(torch.log1p(doubt * others * math.exp(2 / temperature)).mean()),
                "gradient": max(float((a - b).abs().max()) for a, b in zip(slope, ccl_slope, strict=True)),
            }
        )
    return pd.DataFrame(rows, index=pd.Index(sharpness, name="logit"))
