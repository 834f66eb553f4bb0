"""From metrics files to the numbers of a table or figure: means over cases, classes and seeds.

A class score is the mean over the cases where it is defined. The average is the mean over classes
of those class means, so every class weighs the same however often it is undefined. With several
seeds, the mean and the sample standard deviation are taken over the seeds' scores.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from arco.errors import ArcoError

FRACTIONS = ("dice", "jaccard")
DISTANCES = ("asd_voxel", "assd_voxel", "hd95_voxel", "asd_mm", "assd_mm", "hd95_mm")
SCORES = (*FRACTIONS, *DISTANCES)
NAMES = ("case", "patient", "class", "part")
AVERAGE = "average"


@dataclass(frozen=True, eq=False)
class RunScores:
    """The scores of one trained network on one part of its dataset.

    Attributes:
        path: the metrics file they are from.
        cases: the case ids, sorted.
        patients: the patient of each case.
        values: [classes, cases, `SCORES`] in the unit of the file, classes sorted by name; NaN
            where undefined.
        means: mean over cases by (class, score), also for the class `average`; NaN where no case
            has a defined value. The average is NaN where any class is: over fewer classes it
            would be another quantity, and a network that misses an organ would gain by it.
        undefined: how many case x class scores are undefined, by the same keys.
    """

    path: Path
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    values: npt.NDArray[np.float64]
    means: dict[tuple[str, str], float]
    undefined: dict[tuple[str, str], int]


@dataclass(frozen=True)
class Summary:
    """One printed number: a score of a class, over the seeds that ran.

    Attributes:
        metrics: the metrics files behind it, one per seed.
        per_seed: the score of each seed in the unit of the file (fractions, voxels, mm), or NaN.
        cases: scored cases of one seed.
        scores: case x class x seed scores behind the number.
        undefined: how many of those are undefined and therefore not part of it.
    """

    metrics: tuple[str, ...]
    per_seed: tuple[float, ...]
    cases: int
    scores: int
    undefined: int

    @property
    def defined(self) -> list[float]:
        """The scores of the seeds that have one."""
        return [value for value in self.per_seed if not math.isnan(value)]

    @property
    def mean(self) -> float:
        """Mean over the seeds that have a score; NaN where none has."""
        return statistics.fmean(self.defined) if self.defined else math.nan

    @property
    def std(self) -> float:
        """Sample standard deviation over seeds (n - 1); NaN below two seeds that have a score."""
        return deviation(self.per_seed)

    def as_json(self) -> dict[str, Any]:
        """Plain values, None for NaN."""
        return {
            "mean": json_number(self.mean),
            "std": json_number(self.std),
            "per_seed": [json_number(value) for value in self.per_seed],
            "cases": self.cases,
            "scores": self.scores,
            "undefined": self.undefined,
            "metrics": list(self.metrics),
        }


def read_runs(paths: Iterable[Path], classes: Sequence[str], part: str) -> dict[Path, RunScores]:
    """The scores in metrics files, each file read once.

    Args:
        paths: metrics files of one dataset.
        classes: the foreground classes, all of which every case must have.
        part: the part of the dataset that must have been scored.

    Raises:
        ArcoError: a file is missing, cut short or invalid, or scores other cases than the first:
            numbers over different cases must not stand in one table.
    """
    runs: dict[Path, RunScores] = {}
    for path in dict.fromkeys(paths):
        runs[path] = read_run(path, classes, part)
        first = next(iter(runs.values()))
        if (runs[path].cases, runs[path].patients) != (first.cases, first.patients):
            raise ArcoError(
                f"{path} does not score the same cases as {first.path}; delete the older of the "
                "two and evaluate its cell again"
            )
    return runs


def read_cells(
    settings: Mapping[str, Any], part: str
) -> dict[tuple[int, str, str], dict[int, RunScores]]:
    """The scores behind a table, by (row, dataset, labels entry) and then by seed.

    Args:
        settings: what `Plan.table_settings` gives; read are datasets and cells.
        part: the part that must have been scored.

    Raises:
        ArcoError: as `read_runs`, for the cells of each dataset.
    """
    by_cell: dict[tuple[int, str, str], dict[int, RunScores]] = {}
    for name, dataset in settings["datasets"].items():
        cells = [cell for cell in settings["cells"] if cell["dataset"] == name]
        runs = read_runs([Path(cell["metrics"]) for cell in cells], dataset["classes"], part)
        for cell in cells:
            of_seeds = by_cell.setdefault((cell["row"], name, cell["labels"]), {})
            of_seeds[cell["seed"]] = runs[Path(cell["metrics"])]
    return by_cell


def read_run(path: Path, classes: Sequence[str], part: str) -> RunScores:
    """The scores in one metrics file (one row per case x foreground class).

    Raises:
        ArcoError: the file is missing, cut short or invalid.
    """
    frame = _read(path)
    for complaint in _complaints(frame, classes, part):
        raise _invalid(path, complaint)
    ordered = frame.sort_values(["class", "case"])
    first_class = ordered[: len(ordered) // len(classes)]
    values = ordered[list(SCORES)].to_numpy().reshape(len(classes), len(first_class), len(SCORES))
    defined = np.isfinite(values).sum(axis=1)
    means = np.nansum(values, axis=1) / np.where(defined, defined, np.nan)
    undefined = len(first_class) - defined
    means = np.vstack([means, means.mean(axis=0)])
    undefined = np.vstack([undefined, undefined.sum(axis=0)])
    keys = [(name, score) for name in (*sorted(classes), AVERAGE) for score in SCORES]
    return RunScores(
        path,
        tuple(first_class["case"]),
        tuple(first_class["patient"]),
        values,
        dict(zip(keys, means.ravel().tolist(), strict=True)),
        dict(zip(keys, undefined.ravel().tolist(), strict=True)),
    )


def summarize(runs: Sequence[RunScores], class_name: str, score: str) -> Summary:
    """One score of one class (or `average`) over the runs of several seeds."""
    classes = {name for name, _ in runs[0].means} - {AVERAGE}
    scored_classes = len(classes) if class_name == AVERAGE else 1
    return Summary(
        metrics=tuple(str(run.path) for run in runs),
        per_seed=tuple(run.means[class_name, score] for run in runs),
        cases=len(runs[0].cases),
        scores=sum(len(run.cases) for run in runs) * scored_classes,
        undefined=sum(run.undefined[class_name, score] for run in runs),
    )


def _read(path: Path) -> pd.DataFrame:
    try:
        # Only score columns may hold NaN: a case may well be called "NA" or "null".
        return pd.read_csv(
            path,
            usecols=[*NAMES, *SCORES],
            dtype={**dict.fromkeys(NAMES, str), **dict.fromkeys(SCORES, float)},
            keep_default_na=False,
            na_values={score: ["nan"] for score in SCORES},
        )
    except FileNotFoundError as error:
        raise ArcoError(f"{path} is missing; evaluate its cell first") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArcoError(f"cannot read {path}: {reason}; make it readable") from error
    except ValueError as error:  # pandas raises subclasses of it for whatever is malformed
        raise _invalid(path, " ".join(str(error).split()).rstrip(".")) from error


def _invalid(path: Path, complaint: str) -> ArcoError:
    return ArcoError(
        f"{path} is no valid metrics file ({complaint}); delete it and evaluate its cell again"
    )


def _complaints(frame: pd.DataFrame, classes: Sequence[str], part: str) -> Iterator[str]:
    """What is wrong with the content of a metrics file; later checks rely on the earlier ones."""
    if frame.empty:
        yield "it scores no case"
    wrong_part = frame.loc[frame["part"] != part, "part"]
    if len(wrong_part):
        yield f"its part is {wrong_part.iloc[0]!r} where {part!r} is wanted"
    unknown = set(frame["class"]) - set(classes)
    if unknown:
        yield f"it names an unknown class {min(unknown)!r}"
    repeated = frame.loc[frame.duplicated(["case", "class"]), "case"]
    if len(repeated):
        yield f"a class of case {repeated.iloc[0]} stands in it twice"
    rows_per_case = frame["case"].value_counts()
    if rows_per_case.min() < len(classes):
        yield f"case {rows_per_case.idxmin()} lacks a class"
    patients = frame.groupby("case")["patient"].nunique()
    if patients.max() > 1:
        yield f"case {patients.idxmax()} is of two patients"
    values = frame[list(SCORES)].to_numpy()
    if np.any((values < 0) | np.isinf(values)):
        yield "a score is negative or infinite"
    if np.any(frame[list(FRACTIONS)].to_numpy() > 1):
        yield "a Dice or Jaccard score is above 1"


def json_number(value: float) -> float | None:
    """A number as JSON can hold it: None for NaN."""
    return None if math.isnan(value) else value


def deviation(per_seed: Sequence[float]) -> float:
    """Sample standard deviation (n - 1) of the numbers that are not NaN; NaN below two of them."""
    defined = [value for value in per_seed if not math.isnan(value)]
    return statistics.stdev(defined) if len(defined) > 1 else math.nan
