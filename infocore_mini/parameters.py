"""Checks of notebook and training parameters: one place says what each may be."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError


def _plain(value: Any) -> Any:
    """numpy's numbers, as every search hands them over, are taken like Python's."""
    return value.item() if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 else value


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number, not a truth value")
    return value


_Whole = Annotated[int, Field(strict=True), BeforeValidator(_plain)]
_Real = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_number), BeforeValidator(_plain)]

Seed = Annotated[_Whole, Field(ge=0, lt=2**32)]  # what numpy and scikit-learn take
Count = Annotated[_Whole, Field(ge=1)]
Epochs = Annotated[_Whole, Field(ge=0)]
Fraction = Annotated[_Real, Field(ge=0, le=1)]
Positive = Annotated[_Real, Field(gt=0)]
NonNegative = Annotated[_Real, Field(ge=0)]
Profile = Literal["quick", "paper"]
Method = Literal["clip", "ccl", "infocore"]
TargetKind = Literal["classification", "regression"]  # of a molecular property: 0 and 1, or real numbers
OutputDir = Annotated[str, Field(min_length=1)]


class ParameterError(ValueError):
    """A parameter is unknown or out of range; the message names it, what came and what is allowed."""


def explain(error: ValidationError) -> str:
    """One line a fault: name, what came, what is expected."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc']))} = {fault['input']!r}: {fault['msg']}"
        if fault["loc"]
        else fault["msg"].removeprefix("Value error, ")
        for fault in error.errors()
    )
