"""How much faster our scores are than medpy's: Dice, Jaccard, ASD, ASSD and HD95, one thread.

    python benchmarks/bench_metrics.py [--repeats 3]

Organs: a seeded 200 x 256 x 256 volume of two classes, the prediction a shifted, eroded or dilated
truth. Hard masks: dense and sparse noise, concentric shells, masks far apart. Both sides get the
same masks in turn, and their numbers must agree to 1e-6.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
from medpy.metric import binary as medpy
from scipy.ndimage import binary_dilation, binary_erosion

from arco.evaluation import metrics
from arco.evaluation.surfaces import surface

Mask = npt.NDArray[np.bool_]
Pair = tuple[Mask, Mask]

SHAPE = (200, 256, 256)
MIDDLE = (100, 128, 128)
SPACING_MM = (3.0, 1.2, 1.1)


def ball(center: Iterable[float], radii: Iterable[float]) -> npt.NDArray[np.float64]:
    """An ellipsoid's quadratic form on the grid: below 1 inside. float64, [*SHAPE]."""
    axes = np.ogrid[tuple(slice(side) for side in SHAPE)]
    terms = [((x - c) / r) ** 2 for x, c, r in zip(axes, center, radii, strict=True)]
    return np.asarray(sum(terms))


def organs(generator: np.random.Generator) -> list[Pair]:
    """(prediction, truth) of a large and a small class with wavy surfaces."""
    waves = sum(
        0.08 * np.sin(2 * np.pi * (x / side * generator.uniform(1, 4) + generator.random()))
        for x, side in zip(np.ogrid[tuple(slice(n) for n in SHAPE)], SHAPE, strict=True)
    )
    large = ball(MIDDLE, (60, 75, 85)) + waves < 1
    small = ball((120, 100, 150), (18, 24, 30)) + waves < 1
    eroded = np.roll(binary_erosion(large, iterations=2), (2, -3, 4), axis=(0, 1, 2))
    dilated = np.roll(binary_dilation(small, iterations=2), (-1, 2, 3), axis=(0, 1, 2))
    return [(eroded, large), (dilated, small)]


def hard_masks(generator: np.random.Generator) -> dict[str, Pair]:
    """(prediction, truth) that have very many surface voxels or very many almost equally far."""

    def noise(density: float) -> Mask:
        return generator.random(SHAPE) < density

    def sphere(radius: float) -> Mask:
        return surface(ball(MIDDLE, (radius,) * 3) < 1)

    first, last = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    first[0], last[-1] = True, True
    blobs = ball((25, 25, 25), (20,) * 3) < 1, ball((175, 225, 225), (20,) * 3) < 1
    inside = (ball(MIDDLE, (60,) * 3) < 1) & noise(0.1)
    return {
        "noise, half of the voxels": (noise(0.5), noise(0.5)),
        "noise, a tenth": (noise(0.1), noise(0.1)),
        "noise, a thousandth": (noise(0.001), noise(0.001)),
        "shells of radius 20 and 98": (sphere(20), sphere(98)),
        "shells of radius 90 and 95": (sphere(90), sphere(95)),
        "noise inside a shell": (inside, sphere(98)),
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


def seconds(scorer: Callable[[Mask, Mask], list[float]], pairs: list[Pair]) -> tuple[float, list]:
    start = time.perf_counter()
    scores = [scorer(*pair) for pair in pairs]
    return time.perf_counter() - start, scores


def compare(name: str, pairs: list[Pair], repeats: int, target: float) -> None:
    """Print the median ratios of `repeats` interleaved rounds."""
    rounds = []
    for _ in range(repeats):
        ours, scores = seconds(score, pairs)
        singly, same_scores = seconds(score_one_by_one, pairs)
        theirs, expected = seconds(score_with_medpy, pairs)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
        np.testing.assert_allclose(same_scores, expected, rtol=0, atol=1e-6)
        rounds.append((theirs, ours, theirs / ours, theirs / singly))
    theirs, ours, ratio, ratio_singly = np.median(rounds, axis=0)
    verdict = "ok" if ratio >= target else "TOO SLOW"
    print(
        f"{name:28} medpy {theirs:6.2f} s   ours {ours:6.3f} s   {ratio:6.1f} x"
        f"   (five calls {ratio_singly:6.1f} x)   target {target:4.1f} x   {verdict}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    generator = np.random.default_rng(0)
    compare("organs, two classes", organs(generator), repeats, target=15.0)
    for name, pair in hard_masks(generator).items():
        compare(name, [pair], repeats, target=1.5)


if __name__ == "__main__":
    main()
