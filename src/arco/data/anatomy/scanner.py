"""From tissue signal to the numbers of a scan: blur, bias field, Rician noise, gain, data type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from arco.data.anatomy.shapes import Grid, Point, Volume


@dataclass(frozen=True)
class Scanner:
    """How one patient was scanned.

    Attributes:
        dtype: of the stored image.
        maximum: stored value of signal 1, before whatever is brighter.
        gamma: exponent on the signal; away from 1 the contrast between tissues changes.
        blur: standard deviation of the point spread along each axis, in voxels.
        noise: standard deviation of the complex noise, where tissue signal reaches 1.
        tilt: change of the coil's logarithmic sensitivity from the center to the edge, per axis.
        shading: the same, in all directions alike.
    """

    dtype: type[np.integer | np.floating]
    maximum: float
    gamma: float
    blur: Point
    noise: float
    tilt: Point
    shading: float

    def image(
        self, signal: Volume, grid: Grid, rng: np.random.Generator
    ) -> npt.NDArray[np.generic]:
        """[*S] of `dtype`: what the scanner stores of a tissue signal [*S] in about [0, 1]."""
        return self.store(self.sense(signal, grid, rng))

    def sense(self, signal: Volume, grid: Grid, rng: np.random.Generator) -> Volume:
        """[*S] float32: a tissue signal [*S] in about [0, 1] as received, in the same units.

        Noise is Rician, as in magnitude images: never negative, and brighter than zero in air.
        """
        blurred: Volume = ndimage.gaussian_filter(signal, self.blur)
        seen = np.clip(blurred, 0, None) ** np.float32(self.gamma) * self._sensitivity(grid)
        noise = rng.standard_normal((2, *grid.shape), dtype=np.float32) * np.float32(self.noise)
        return np.asarray(np.hypot(seen + noise[0], noise[1]), dtype=np.float32)

    def store(self, sensed: Volume) -> npt.NDArray[np.generic]:
        """[*S] of `dtype`: the received signal [*S] times `maximum`; whole numbers saturate."""
        stored = sensed * np.float32(self.maximum)
        if issubclass(self.dtype, np.integer):
            stored = np.clip(np.rint(stored), 0, np.iinfo(self.dtype).max)
        return np.asarray(stored, dtype=self.dtype)

    def _sensitivity(self, grid: Grid) -> Volume:
        """[*S] float32, the smooth sensitivity of the receiving coil."""
        half_mm = np.abs(grid.position_mm).max(axis=(1, 2, 3), keepdims=True)
        relative = grid.position_mm / half_mm
        tilted = np.tensordot(np.asarray(self.tilt, dtype=np.float32), relative, axes=1)
        shaded = np.float32(self.shading / 3) * np.square(relative).sum(axis=0)
        return np.asarray(np.exp(tilted + shaded), dtype=np.float32)
