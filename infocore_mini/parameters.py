"""Checks of notebook and training parameters: one place says what each may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, create_model

Seed = Annotated[int, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Profile = Literal["quick", "paper"]
Method = Literal["clip", "ccl", "infocore"]
TargetKind = Literal["classification", "regression"]  # of a molecular property: 0 and 1, or real numbers
OutputDir = Annotated[str, Field(min_length=1)]

_PLAIN = (bool, int, float, str, list, dict, tuple, type(None))
_SHELL = {"In", "Out"}  # IPython's own


class ParameterError(ValueError):
    """A parameter is unknown or out of range; the message names it, what came and what is allowed."""


def check_parameters(namespace: Mapping[str, Any], **allowed: Any) -> dict[str, Any]:
    """Check a notebook's parameters right after the cell that sets them.

    Every plain value (number, string, list, ...) in the namespace must be a known parameter, so a
    misspelt name given to papermill stops the run instead of being ignored.

    Args:
        namespace: ``globals()`` of the notebook.
        allowed: name = type, such as ``ALPHA=Fraction`` or ``METHOD=Literal["clip", "ccl"]``.

    Returns:
        The checked values by name.

    Raises:
        ParameterError: on an unknown name, a missing one, or a value that is not allowed.
    """
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


def explain(error: ValidationError) -> str:
    """One line a fault: name, what came, what is expected."""
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc'])} = {fault['input']!r}: {fault['msg']}"
        for fault in error.errors()
    )
