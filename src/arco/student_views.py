"""How the student of the anatomical contrast sees unlabeled images.

The teacher sees them as the loader gives them. Its answers are carried over to what the student
sees, pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from arco.contracts import Context
from arco.contrastive_views import apply_intensity, draw_intensity
from arco.fields import StrongView
from arco.mixing import draw_rectangles, paste_next
from arco.views import apply_dihedral, draw_dihedral
from arco.warps import draw_deformation, warp, warp_labels


class Seen(NamedTuple):
    """Unlabeled images as the student sees them, and the teacher's answers to the same pixels.

    Attributes:
        images: [U, channels, *S].
        labels: [U, *S] int64 pseudo labels, IGNORE outside the frame.
        confidence: [U, *S] in [0, 1].
        carry: turns the teacher's pooled maps [U, D, *cells] into those of the student's images.
    """

    images: Tensor
    labels: Tensor
    confidence: Tensor
    carry: Callable[[Tensor], Tensor]


class Turned:
    """Quarter turns and mirror images, as far as the loader's augmentation goes.

    This is Sec. E by the letter, "without any additional complicated augmentation".

    Args:
        context: of the run.
    """

    def __init__(self, context: Context) -> None:
        self.generator = context.randomness.generator("views")
        self.symmetries = {
            "square": context.image_size[-1] == context.image_size[-2],
            "turned": context.augmentation.rotation and context.augmentation.quarter_turns > 0,
            "mirrored": context.augmentation.flip,
        }

    def __call__(self, images: Tensor, labels: Tensor, confidence: Tensor) -> Seen:
        """Turn images [U, channels, *S] with their labels and confidence [U, *S]."""
        codes = draw_dihedral(len(images), self.generator, **self.symmetries)

        def turned(maps: Tensor) -> Tensor:
            return apply_dihedral(maps, codes)

        return Seen(turned(images), turned(labels), turned(confidence), turned)


class Strengthened:
    """CutMix with the next image, then changes of intensity and a smooth deformation.

    This is the view of the authors' code, which is one code for ARCO and MONA. Deviations: a
    deformation moves labels with their image (the code leaves them behind); the teacher's pooled
    map of a mixed image is mixed from those of its two parts.

    Args:
        settings: how strong the changes are.
        cells: of the pooled maps, one number per spatial axis.
        context: of the run.
    """

    def __init__(self, settings: StrongView, cells: tuple[int, ...], context: Context) -> None:
        self.settings = settings
        self.generator = context.randomness.generator("views")
        self._pool = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[len(cells)](cells)

    def __call__(self, images: Tensor, labels: Tensor, confidence: Tensor) -> Seen:
        """Change images [U, channels, *S] with their labels and confidence [U, *S]."""
        own = draw_rectangles(len(images), images.shape[2:], self.generator)
        images = self._recolored(paste_next(images, own))
        labels, confidence = paste_next(labels, own), paste_next(confidence, own)
        grid = draw_deformation(
            len(images),
            images.shape[2:],
            amplitude=self.settings.deformation,
            generator=self.generator,
        )
        unit = torch.rand(1, generator=self.generator, device=self.generator.device)
        if unit.item() < self.settings.probability:
            images = warp(images, grid, outside="border")
            labels = warp_labels(labels, grid)
            confidence = warp(confidence.unsqueeze(1), grid, nearest=True).squeeze(1)
            own = warp(own.float().unsqueeze(1), grid, nearest=True).squeeze(1) > 0
        shares = self._pool(own.float().unsqueeze(1))
        return Seen(
            images, labels, confidence, lambda maps: paste_next(maps, shares.expand_as(maps))
        )

    def _recolored(self, images: Tensor) -> Tensor:
        """Change brightness and contrast, and blur."""
        settings = self.settings
        intensity = draw_intensity(
            len(images),
            jitter=settings.probability,
            strength=(settings.jitter, settings.jitter),
            blur=settings.probability,
            sigma=(settings.blur_min, settings.blur_max),
            solarize=0.0,
            generator=self.generator,
        )
        return apply_intensity(images, intensity)
