"""How much faster our scores are than medpy's: Dice, Jaccard, ASD, ASSD and HD95, one thread.

    python benchmarks/bench_metrics.py [--quick] [--rounds 3]

Organs: a seeded 200 x 256 x 256 volume of two classes, the prediction a shifted, eroded or dilated
truth. Hard masks: dense and sparse noise, concentric shells, masks far apart. Both sides get the
same masks in turn, and their numbers must agree to 1e-6. "One by one" calls our five scores
separately, which shares no work between the distances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
from harness import (
    Table,
    Target,
    at_least,
    command_line,
    median_ratio,
    milliseconds,
    read,
    take_turns,
)
from medpy.metric import binary as medpy
from scipy.ndimage import binary_dilation, binary_erosion

from arco.evaluation import metrics
from arco.evaluation.surfaces import surface

Mask = npt.NDArray[np.bool_]
Pair = tuple[Mask, Mask]

SHAPE = (200, 256, 256)
SPACING_MM = (3.0, 1.2, 1.1)
QUICK_DIVISOR = 8
ORGANS_TARGET, HARD_TARGET = at_least(15), at_least(1.5)


class Masks:
    """Pairs of masks [*shape], a prediction and a truth.

    Args:
        divisor: of SHAPE; centers and radii below are those of the whole shape.
    """

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        self.shape = tuple(side // divisor for side in SHAPE)
        self.generator = np.random.default_rng(0)

    def ball(self, center: Iterable[float], radii: Iterable[float]) -> npt.NDArray[np.float64]:
        """An ellipsoid's quadratic form on the grid: below 1 inside. float64, [*shape]."""
        axes = np.ogrid[tuple(slice(side) for side in self.shape)]
        return np.asarray(
            sum(
                ((x - c / self.divisor) / (r / self.divisor)) ** 2
                for x, c, r in zip(axes, center, radii, strict=True)
            )
        )

    def organs(self) -> list[Pair]:
        """A large and a small class with wavy surfaces."""
        generator = self.generator
        axes = np.ogrid[tuple(slice(side) for side in self.shape)]
        waves = sum(
            0.08 * np.sin(2 * np.pi * (x / side * generator.uniform(1, 4) + generator.random()))
            for x, side in zip(axes, self.shape, strict=True)
        )
        large = self.ball((100, 128, 128), (60, 75, 85)) + waves < 1
        small = self.ball((120, 100, 150), (18, 24, 30)) + waves < 1
        eroded = np.roll(binary_erosion(large, iterations=2), (2, -3, 4), axis=(0, 1, 2))
        dilated = np.roll(binary_dilation(small, iterations=2), (-1, 2, 3), axis=(0, 1, 2))
        return [(eroded, large), (dilated, small)]

    def noise(self, density: float) -> Mask:
        return self.generator.random(self.shape) < density

    def sphere(self, radius: float) -> Mask:
        return surface(self.ball((100, 128, 128), (radius,) * 3) < 1)

    def hard(self) -> dict[str, Pair]:
        """Pairs with very many surface voxels or very many almost equally far."""
        first, last = np.zeros(self.shape, dtype=bool), np.zeros(self.shape, dtype=bool)
        first[0], last[-1] = True, True
        blobs = (
            self.ball((25, 25, 25), (20,) * 3) < 1,
            self.ball((175, 225, 225), (20,) * 3) < 1,
        )
        inside = (self.ball((100, 128, 128), (60,) * 3) < 1) & self.noise(0.1)
        return {
            "noise, half of the voxels": (self.noise(0.5), self.noise(0.5)),
            "noise, a tenth": (self.noise(0.1), self.noise(0.1)),
            "noise, a thousandth": (self.noise(0.001), self.noise(0.001)),
            "shells of radius 20 and 98": (self.sphere(20), self.sphere(98)),
            "shells of radius 90 and 95": (self.sphere(90), self.sphere(95)),
            "noise inside a shell": (inside, self.sphere(98)),
            "blobs far apart": blobs,
            "planes far apart": (first, last),
        }


def score_with_medpy(prediction: Mask, truth: Mask) -> list[float]:
    distances = [medpy.asd, medpy.assd, medpy.hd95]
    return [
        medpy.dc(prediction, truth),
        medpy.jc(prediction, truth),
        *(distance(prediction, truth, SPACING_MM) for distance in distances),
    ]


def score(prediction: Mask, truth: Mask) -> list[float]:
    distances = metrics.surface_scores(prediction, truth, SPACING_MM)
    overlaps = [metrics.dice(prediction, truth), metrics.jaccard(prediction, truth)]
    return [*overlaps, distances.asd, distances.assd, distances.hd95]


def score_one_by_one(prediction: Mask, truth: Mask) -> list[float]:
    distances = [metrics.asd, metrics.assd, metrics.hd95]
    overlaps = [metrics.dice(prediction, truth), metrics.jaccard(prediction, truth)]
    return [*overlaps, *(distance(prediction, truth, SPACING_MM) for distance in distances)]


SCORERS = {"medpy": score_with_medpy, "ours": score, "one by one": score_one_by_one}


def compare(table: Table, name: str, pairs: list[Pair], rounds: int, target: Target) -> None:
    """Print the median ratio of `rounds` interleaved rounds."""
    scores: dict[str, list[list[float]]] = {}

    def run(kind: str, scorer: Callable[[Mask, Mask], list[float]]) -> None:
        scores[kind] = [scorer(*pair) for pair in pairs]

    runs = {kind: lambda k=kind, s=scorer: run(k, s) for kind, scorer in SCORERS.items()}
    times = take_turns(runs, rounds, warm_up=0)
    for kind in ("ours", "one by one"):
        np.testing.assert_allclose(scores[kind], scores["medpy"], rtol=0, atol=1e-6)
    for kind, what, bound in (("ours", name, target), ("one by one", f"{name}, one by one", None)):
        measured = f"medpy {milliseconds(times['medpy'])}, ours {milliseconds(times[kind])}"
        table.row(what, measured, median_ratio(times["medpy"], times[kind]), bound)


def main(argv: Sequence[str] | None = None) -> None:
    options = read(command_line(__doc__), argv, rounds=3)
    masks = Masks(QUICK_DIVISOR if options.quick else 1)
    shape = " x ".join(map(str, masks.shape))
    title = f"five scores of {shape} voxels, how many times as fast as medpy's"
    table = Table(title, quick=options.quick)
    compare(table, "organs, two classes", masks.organs(), options.rounds, ORGANS_TARGET)
    for name, pair in masks.hard().items():
        compare(table, name, [pair], options.rounds, HARD_TARGET)


if __name__ == "__main__":
    main()
