"""What a type checker tells someone who uses the face of the library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SNIPPET = """
from infocore_mini import InfoCORE, Pretrained

InfoCORE(alfa=1)
InfoCORE(alpha="large")
reveal_type(InfoCORE().fit([[1.0]], [[1.0]], batch_id=[1]))
reveal_type(Pretrained.load("model.safetensors"))
"""


def test_a_misspelt_parameter_is_flagged_and_results_have_types(root: Path, tmp_path: Path):
    path = tmp_path / "user.py"
    path.write_text(SNIPPET, encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "mypy", str(path)], cwd=root, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'user.py:4: error: Unexpected keyword argument "alfa" for "InfoCORE"' in done.stdout
    assert 'user.py:5: error: Argument "alpha" to "InfoCORE" has incompatible type "str"' in done.stdout
    assert 'user.py:6: note: Revealed type is "infocore_mini.estimator.InfoCORE"' in done.stdout
    assert 'user.py:7: note: Revealed type is "infocore_mini.pretrained.Pretrained"' in done.stdout
    assert "Found 2 errors" in done.stdout
