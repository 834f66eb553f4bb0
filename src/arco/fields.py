"""The types that parameters are declared with. Loads neither torch nor anything of ours."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

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

    Attributes:
        square_images: whether a method needs images of equal height and width.
    """

    square_images: ClassVar[bool] = False
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


class StrongView(Settings):
    """How the student's unlabeled images are changed after CutMix, see `arco.student_views`.

    `jitter` is the largest change of the brightness and contrast factors, blur is in pixels,
    `deformation` the displacement of nodes eight pixels apart, in pixels. `probability` holds for
    jitter and blur of each image and for the deformation of the batch.
    """

    jitter: Fraction
    blur_min: NonNegative
    blur_max: NonNegative
    deformation: NonNegative
    probability: Fraction


class SimilaritySpline(Settings):
    """A random warp, see `arco.warps.draw_similarity_spline`."""

    rotation_degrees: NonNegative
    scale_min: Positive
    scale_max: Positive
    shift: NonNegative
    mirror: Fraction
    jitter: NonNegative


class PixelContrast(Settings):
    """What methods with a pixel-to-class contrast set, see `arco.class_contrast`.

    Attributes:
        sampler, grid: how pixels are drawn; cells per spatial axis.
        temperature: of the contrast.
        width: D of the representation.
        queries: drawn per class and step.
        negatives: per query; or with `negative_draws: shared` one set for all queries of a class.
        similarity, reduction: cosine and mean (released code) or dot and sum (Eq. E.2).
        weak_threshold: teacher confidence from which a pseudo label is a key or a query.
        strong_threshold: student probability below which a pixel is hard, and teacher confidence
            from which a pixel speaks for its image in the pseudo-label loss.
        ema_decay: of the teacher.
    """

    sampler: Sampler
    grid: PositiveInt
    temperature: Positive
    width: PositiveInt
    queries: PositiveInt
    negatives: PositiveInt
    negative_draws: Literal["per_query", "shared"]
    similarity: Literal["cosine", "dot"]
    reduction: Literal["mean", "sum"]
    weak_threshold: Fraction
    strong_threshold: Fraction
    ema_decay: Fraction
