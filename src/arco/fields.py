"""The types that parameters are declared with. Loads neither torch nor anything of ours."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Sampler = Literal["ns", "sg", "sag"]


class Settings(BaseModel):
    """A group of parameters: every key must be known, given, of its type and inside its range.

    There are no defaults: every number stands in params.yaml, beside a comment saying where it
    is from. Types are strict, so a quoted number is refused instead of guessed at.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class View(Settings):
    """How one view is drawn, see `arco.contrastive_views.View`."""

    crop_min: Fraction
    flip: Fraction
    jitter: Fraction
    strength: Fraction
    blur: Fraction
    blur_min: NonNegative
    blur_max: NonNegative
    solarize: Fraction
