"""Peak memory of one function, in a process that does nothing else: called by the other benchmarks.

``python -m benchmarks.peak MODULE FUNCTION '{"argument": 1}'`` calls it and prints the peak in bytes.
"""

from __future__ import annotations

import importlib
import json
import re
import resource
import subprocess
import sys
from pathlib import Path


def peak_bytes(module: str, function: str, **arguments) -> int:
    """The most memory that a fresh process has held that imports the module and calls the function."""
    command = [sys.executable, "-m", __name__, module, function, json.dumps(arguments)]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def own_peak_bytes() -> int:
    """The most memory that this process has held so far, mapped files included.

    Linux counts the parent's memory at the start of a process in ``ru_maxrss``, but not in ``VmHWM``.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.M)[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    module, function, arguments = sys.argv[1:]
    getattr(importlib.import_module(module), function)(**json.loads(arguments))
    print(own_peak_bytes())
