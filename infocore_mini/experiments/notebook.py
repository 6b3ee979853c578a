"""What a notebook needs and the library does not: the check of its parameters, and one look for its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, ValidationError, create_model

from infocore_mini.experiments.tables import captioned, register, with_intervals
from infocore_mini.parameters import OutputDir, ParameterError, Profile, Seed, explain

__all__ = ["captioned", "check_parameters", "with_intervals"]

_EVERY = {"SEED": Seed, "PROFILE": Profile, "OUTPUT_DIR": OutputDir}
_PLAIN = (bool, int, float, str, list, dict, tuple, type(None))
_SHELL = {"In", "Out"}  # IPython's own

register()  # a notebook imports this module, and shows its tables as `tables.html` has them


def check_parameters(namespace: Mapping[str, Any], **allowed: Any) -> dict[str, Any]:
    """Check a notebook's parameters right after the cell that sets them.

    Every plain value (number, string, list, ...) in the namespace must be a known parameter, so a
    misspelt name given to papermill stops the run instead of being ignored.

    Args:
        namespace: ``globals()`` of the notebook.
        allowed: name = type, such as ``ALPHA=Fraction`` or ``METHOD=Literal["clip", "ccl"]``, of the parameters besides
            SEED, PROFILE and OUTPUT_DIR, which every notebook has.

    Returns:
        The checked values by name.

    Raises:
        ParameterError: on an unknown name, a missing one, or a value that is not allowed.
    """
    allowed = _EVERY | allowed
    given = {
        name: value
        for name, value in namespace.items()
        if isinstance(value, _PLAIN) and not name.startswith("_") and name not in _SHELL
    }
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise ParameterError(
            f"unknown parameter {unknown[0]} = {given[unknown[0]]!r}; known: {', '.join(sorted(allowed))}"
        )
    schema = create_model(
        "Parameters", __config__=ConfigDict(extra="forbid"), **{k: (t, ...) for k, t in allowed.items()}
    )
    try:
        return schema(**given).model_dump()
    except ValidationError as error:
        raise ParameterError(explain(error)) from None
