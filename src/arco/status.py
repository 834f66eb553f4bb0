"""How far the tables and figures are: which runs are done, running, stopped or missing.

Everything is read off the disk: results in the run folders, and the lock that a training job
holds on its resume folder for as long as it lives. Loads no torch.
"""

from __future__ import annotations

import fcntl
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Generic, TypeVar

from arco import files
from arco.console import aligned, duration
from arco.plan import Cell, Plan, PretrainingRun, Printed, canonical
from arco.schema.reports import Figure
from arco.trees import Tree

Job = Cell | PretrainingRun
JobType = TypeVar("JobType", Cell, PretrainingRun)

WEIGHTS = "weights.safetensors"
SETTINGS = "settings.json"
PROVENANCE = "provenance.json"


class State(StrEnum):
    """Where a job stands; see `_state` for how it is told."""

    DONE = "done"
    TRAINED = "trained"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    OUTDATED = "outdated"
    MISSING = "missing"


FINISHED = (State.DONE, State.TRAINED)
SYMBOLS = {
    State.DONE: "#",
    State.TRAINED: "+",
    State.RUNNING: ">",
    State.INTERRUPTED: "!",
    State.OUTDATED: "~",
    State.MISSING: ".",
}


@dataclass(frozen=True)
class JobStatus(Generic[JobType]):
    """One fine-tuning or pretraining.

    Attributes:
        job: which.
        state: where it stands.
        seconds: what it took if it is finished, else what it will take by the runs most like it;
            None while there is nothing to judge by.
    """

    job: JobType
    state: State
    seconds: float | None

    @property
    def remaining_seconds(self) -> float | None:
        """Time to train it; a job under way counts in full, since it does not say how far it is."""
        return 0.0 if self.state in FINISHED else self.seconds

    def as_dict(self) -> Tree:
        """For programs."""
        return {**asdict(self.job), "state": self.state.value, "seconds": self.seconds}


AnyStatus = JobStatus[Cell] | JobStatus[PretrainingRun]


@dataclass(frozen=True)
class TargetStatus:
    """One table or figure.

    Attributes:
        name: as in params.yaml.
        title: its title there.
        result: its first file.
        written: whether that file exists; it may be older than its cells.
        cells: the cells it shows.
        pretrainings: the pretrainings these start from.
    """

    name: str
    title: str
    result: Path
    written: bool
    cells: list[JobStatus[Cell]]
    pretrainings: list[JobStatus[PretrainingRun]]

    @property
    def counts(self) -> Counter[State]:
        """Cells per state."""
        return Counter(cell.state for cell in self.cells)

    @property
    def remaining_seconds(self) -> float | None:
        """Time to train what is not finished, one job after another; None if not known."""
        return _remaining([*self.pretrainings, *self.cells])

    def as_dict(self) -> Tree:
        """For programs."""
        return {
            "name": self.name,
            "title": self.title,
            "result": str(self.result),
            "written": self.written,
            "remaining_seconds": self.remaining_seconds,
            "counts": {state.value: self.counts[state] for state in State},
            "cells": [cell.as_dict() for cell in self.cells],
            "pretrainings": [run.as_dict() for run in self.pretrainings],
        }

    def grid(self) -> str:
        """For people: a row per recipe, a column per labels entry, in it a symbol per seed.

        Of several datasets each has columns of its own.
        """
        several = len({status.job.dataset for status in self.cells}) > 1
        places: dict[tuple[str, str], str] = defaultdict(str)
        for status in self.cells:
            job = status.job
            column = f"{job.dataset} {job.labels}" if several else job.labels
            places[job.recipe, column] += SYMBOLS[status.state]
        recipes = dict.fromkeys(recipe for recipe, _ in places)
        labels = dict.fromkeys(key for _, key in places)
        rows = [[recipe, *(places[recipe, key] for key in labels)] for recipe in recipes]
        legend = "  ".join(f"{symbol} {state.value}" for state, symbol in SYMBOLS.items())
        return "\n".join([aligned([[self.name, *labels], *rows]), "", legend])


@dataclass(frozen=True)
class Status:
    """Every table and figure asked for; `variant` says at which scale and protocol."""

    variant: str
    targets: list[TargetStatus]

    @cached_property
    def jobs(self) -> list[AnyStatus]:
        """All cells and pretrainings, those that several targets need once."""
        found: dict[Job, AnyStatus] = {}
        for target in self.targets:
            found |= {run.job: run for run in target.pretrainings}
            found |= {cell.job: cell for cell in target.cells}
        return list(found.values())

    @property
    def remaining_seconds(self) -> float | None:
        """As for one target; what targets share counts once."""
        return _remaining(self.jobs)

    def as_dict(self) -> Tree:
        """For programs."""
        return {
            "variant": self.variant,
            "remaining_seconds": self.remaining_seconds,
            "targets": [target.as_dict() for target in self.targets],
        }

    def text(self) -> str:
        """For people: a line per target, the time left, and for a single target its grid."""
        states = [state.value for state in State]
        header = ["", "cells", *states, "to pretrain", "time left", "written"]
        rows = [
            [
                target.name,
                str(len(target.cells)),
                *(str(target.counts[state] or "-") for state in State),
                str(sum(run.state not in FINISHED for run in target.pretrainings) or "-"),
                duration(target.remaining_seconds),
                "yes" if target.written else "no",
            ]
            for target in self.targets
        ]
        left = duration(self.remaining_seconds)
        notes = [f"\nscale {self.variant}; time left in all, one job after another: {left}"]
        if self.remaining_seconds is None:
            notes.append("a time is unknown until one such job has finished")
        stopped = [status.job for status in self.jobs if status.state is State.INTERRUPTED]
        notes += [f"interrupted: {_name(job)}" for job in stopped]
        grids = [f"\n{target.grid()}" for target in self.targets if len(self.targets) == 1]
        return "\n".join([aligned([header, *rows]), *notes, *grids])


def examine(plan: Plan, target: str = "all") -> Status:
    """The state of a table or figure, by name or result path, or of `all` of them.

    Raises:
        ArcoError: there is no such target, or a settings or provenance file is damaged.
    """
    judge = _Judge(plan)
    targets = [_target(plan, name, entry, judge) for name, entry in plan.entries_of(target).items()]
    return Status(plan.parameters.variant, targets)


def _target(plan: Plan, name: str, entry: Printed, judge: _Judge) -> TargetStatus:
    cells = plan.shown(entry)
    result = plan.paths.figure(name) if isinstance(entry, Figure) else plan.paths.table(name)
    return TargetStatus(
        name,
        entry.title,
        result,
        (plan.parameters.root / result).is_file(),
        [judge.cell(cell, entry.part) for cell in cells],
        [judge.pretraining(run) for run in plan.pretrainings(cells)],
    )


class _Judge:
    """Tells states from the disk, and times from the finished runs of the whole plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.root = plan.parameters.root
        cells = plan.cells_of("all")
        self.measured: dict[Job, float] = {}
        self.examples: dict[Hashable, list[float]] = defaultdict(list)
        jobs: list[Job] = [*cells, *plan.pretrainings(cells)]
        for job in jobs:
            provenance = self._folders(job)[0] / PROVENANCE
            if provenance.is_file():
                self.measured[job] = float(files.read_json(provenance)["seconds"])
                for likeness in self._likenesses(job):
                    self.examples[likeness].append(self.measured[job])

    def cell(self, cell: Cell, part: str) -> JobStatus[Cell]:
        """The status of a cell whose scores on `part` are wanted."""
        scores = self.root / self.plan.metrics(cell, part)
        state = self._state(cell, self.plan.finetune_settings(cell), scores)
        return JobStatus(cell, state, self._seconds(cell))

    def pretraining(self, run: PretrainingRun) -> JobStatus[PretrainingRun]:
        """The status of a pretraining."""
        weights = self._folders(run)[0] / WEIGHTS
        state = self._state(run, self.plan.pretrain_settings(run), weights)
        return JobStatus(run, state, self._seconds(run))

    def _folders(self, job: Job) -> tuple[Path, Path]:
        """Where a job's results lie, and its checkpoints."""
        plan = self.plan
        folder = plan.run_folder(job) if isinstance(job, Cell) else plan.pretrained_folder(job)
        return self.root / folder, self.root / plan.paths.resume(folder)

    def _state(self, job: Job, settings: Tree, final: Path) -> State:
        """The state of a job that ends with the file `final`.

        The lock is asked first: while a job trains again, its old results may still lie there.
        """
        folder, resume = self._folders(job)
        if _is_locked(resume / "lock"):
            return State.RUNNING
        if (folder / WEIGHTS).is_file():
            if not _was_made_with(settings, folder / SETTINGS):
                return State.OUTDATED
            return State.DONE if final.is_file() else State.TRAINED
        # A job takes the lock first of all and notes its end in done.json; if an older run ended
        # there, a checkpoint tells of the newer one. Snakemake makes the folder before the job.
        begun = (resume / "lock").is_file() and not (resume / "done.json").is_file()
        begun = begun or (resume / "state.pt").is_file() or folder.is_dir()
        return State.INTERRUPTED if begun else State.MISSING

    def _likenesses(self, job: Job) -> list[Hashable]:
        """What a job shares with others that take about as long, the closest kin first."""
        plan = self.plan
        kin = plan.recipes[job.recipe].method if isinstance(job, Cell) else job.name
        kind = (type(job), job.dataset)
        return [(*kind, kin), kind]

    def _seconds(self, job: Job) -> float | None:
        if job in self.measured:
            return self.measured[job]
        for likeness in self._likenesses(job):
            if likeness in self.examples:
                return fmean(self.examples[likeness])
        return None


def _is_locked(lock: Path) -> bool:
    """Whether a living process holds the lock; asking does not disturb who waits for it."""
    try:
        with lock.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _was_made_with(settings: Tree, path: Path) -> bool:
    """Whether the settings that a run keeps are these; it may note further values of its own."""
    kept = files.read_json(path)
    return canonical({key: kept.get(key) for key in settings}) == canonical(settings)


def _remaining(jobs: Iterable[AnyStatus]) -> float | None:
    parts = [job.remaining_seconds for job in jobs]
    known_parts = [part for part in parts if part is not None]
    return sum(known_parts) if len(known_parts) == len(parts) else None


def _name(job: Job) -> str:
    recipe = job.recipe if isinstance(job, Cell) else f"pretraining {job.name}"
    return f"{job.dataset} {job.labels} {recipe} seed {job.seed}"
