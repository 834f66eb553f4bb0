"""What is installed, what the machine offers, which datasets are found, and how to mend the rest.

A missing download is a warning: other datasets run without it. An error is what stops the present
configuration: a package that is missing, a device or folder that cannot be used, data that are
there but broken. Loads torch only while it examines the device.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from arco import registry
from arco.console import aligned
from arco.data.completeness import Inventory, take_inventory
from arco.errors import ArcoError
from arco.plan import Plan
from arco.schema.datasets import Dataset
from arco.trees import Tree

DISTRIBUTION = "arco-reproduction"
LOW_DISK_BYTES = 2 * 1024**3
"""Below this much free space a warning: prepared data, weights and predictions take about 1 GB."""

MOST_NAMES = 10
"""Missing files that are named; --json lists them all."""


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what it is, how it is, and what to do if it is not well."""

    subject: str
    detail: str
    level: Level = Level.OK
    fix: str = ""


@dataclass(frozen=True)
class DatasetFinding:
    """One dataset of params.yaml.

    Attributes:
        name, source, root: the entry, and the folder that is read.
        cases, patients: how many the layout finds; 0 where it finds none.
        expected_patients: how many the split needs.
        finding: the verdict.
        expected_cases: of the complete download; None where nobody knows, or for phantoms.
        missing: a file of each case that is left out for want of it, below `root`, and the names
            of patients who are absent altogether, where they are known.
    """

    name: str
    source: str
    root: Path
    cases: int
    patients: int
    expected_patients: int
    finding: Finding
    expected_cases: int | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """All findings; `scale` is the configuration they were judged for."""

    scale: str
    software: list[Finding]
    machine: list[Finding]
    datasets: list[DatasetFinding]

    @property
    def findings(self) -> list[Finding]:
        """Every finding, in printed order."""
        return [*self.software, *self.machine, *(dataset.finding for dataset in self.datasets)]

    @property
    def healthy(self) -> bool:
        """Whether nothing stops the present configuration."""
        return all(finding.level is not Level.ERROR for finding in self.findings)

    def as_dict(self) -> Tree:
        """For programs."""
        return {
            "scale": self.scale,
            "healthy": self.healthy,
            "software": [asdict(item) for item in self.software],
            "machine": [asdict(item) for item in self.machine],
            "datasets": [{**asdict(item), "root": str(item.root)} for item in self.datasets],
        }

    def text(self) -> str:
        """For people: three blocks of lines, then what to do, the errors first."""
        datasets = [
            [dataset.name, dataset.source, str(dataset.root), dataset.finding.detail]
            for dataset in self.datasets
        ]
        blocks = [
            _block("software", [[item.subject, item.detail] for item in self.software]),
            _block("machine", [[item.subject, item.detail] for item in self.machine]),
            _block(f"datasets (scale {self.scale})", datasets),
        ]
        problems = [item for item in self.findings if item.level is not Level.OK]
        problems.sort(key=lambda item: item.level is not Level.ERROR)
        lines = [f"{item.level}: {item.subject}: {item.detail}\n  {item.fix}" for item in problems]
        return "\n\n".join([*blocks, *(lines or ["everything needed is in place"])])


def examine(plan: Plan) -> Diagnosis:
    """Look at everything; reads the datasets' folders but opens no image."""
    parameters = plan.parameters
    return Diagnosis(
        parameters.variant,
        list(_software()),
        list(_machine(plan)),
        [_dataset(plan, name, entry) for name, entry in parameters.sections.datasets.items()],
    )


def _software() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} in {sys.prefix}")
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Finding(DISTRIBUTION, "not installed", Level.ERROR, "run `pip install -e .`")
        return
    yield Finding(DISTRIBUTION, metadata.version(DISTRIBUTION))
    for requirement in requirements:
        if "extra ==" not in requirement:
            yield _package(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])


def _package(name: str) -> Finding:
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        fix = "run `pip install -r requirements.lock`"
        return Finding(name, "not installed", Level.ERROR, fix)


def _machine(plan: Plan) -> Iterator[Finding]:
    runtime = plan.parameters.sections.runtime
    yield _device(runtime.device)
    cores = os.cpu_count() or 1
    detail = f"{cores} cores, {runtime.threads} used by each training job"
    if runtime.threads > cores:
        fix = f"set runtime.threads to at most {cores}"
        yield Finding("threads", detail, Level.WARNING, fix)
    else:
        yield Finding("threads", detail)
    paths = plan.paths
    for key, folder in (("data", paths.data), ("results", paths.results), ("work", paths.work)):
        yield _space(f"paths.{key}", plan.parameters.root / folder)


def _device(wanted: str) -> Finding:
    try:
        import torch
    except ImportError as error:
        fix = "run `pip install -r requirements.lock`"
        return Finding("device", f"torch does not load: {error}", Level.ERROR, fix)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = ", ".join(torch.cuda.get_device_name(index) for index in range(count))
    detail = devices or f"no GPU that torch {torch.__version__} can use; training runs on the CPU"
    if wanted == "cuda" and not count:
        fix = "set runtime.device to auto, or install a torch build for this GPU"
        return Finding("device", detail, Level.ERROR, fix)
    return Finding("device", detail)


def _space(subject: str, folder: Path) -> Finding:
    """Free space where `folder` is or will be."""
    existing = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        fix = f"make it writable or set {subject} to another folder"
        return Finding(subject, f"{folder} is not writable", Level.ERROR, fix)
    free = shutil.disk_usage(existing).free
    detail = f"{free / 1024**3:.1f} GB free at {folder}"
    if free < LOW_DISK_BYTES:
        return Finding(
            subject, detail, Level.WARNING, f"free some or set {subject} to another disk"
        )
    return Finding(subject, detail)


def _dataset(plan: Plan, name: str, entry: Dataset) -> DatasetFinding:
    is_phantom = entry.source == "phantom"
    root = plan.parameters.root / (plan.paths.phantom(name) if is_phantom else entry.root)
    expected = entry.split.train + entry.split.val + entry.split.test
    inventory = Inventory([], None, (), ())
    if not _has_files(root):
        finding = _absent(name, entry)
    else:
        mend = f"delete {root}; it is written again when needed" if is_phantom else None
        layout = registry.load("data/layouts", entry.layout)
        try:
            inventory = take_inventory(layout, root, entry.subsets)
            if is_phantom:
                inventory = Inventory(inventory.cases, None, (), ())
            finding = _counted(name, inventory, root, expected, mend)
        except ArcoError as error:
            finding = Finding(name, str(error), Level.ERROR, mend or _how_to_get(name, entry))
    cases, patients = inventory.cases, {case.patient for case in inventory.cases}
    files = [str(path.relative_to(root)) for path in inventory.incomplete]
    return DatasetFinding(
        name,
        entry.source,
        root,
        cases=len(cases),
        patients=len(patients),
        expected_patients=expected,
        finding=finding,
        expected_cases=inventory.expected,
        missing=(*files, *inventory.absent),
    )


def _has_files(root: Path) -> bool:
    return root.is_dir() and any(root.iterdir())


def _absent(name: str, entry: Dataset) -> Finding:
    if entry.source == "phantom":
        return Finding(name, "synthetic; written when first needed")
    return Finding(name, "not found", Level.WARNING, _how_to_get(name, entry))


def _how_to_get(name: str, entry: Dataset) -> str:
    """Where the download is, and the settings that lead to it or around it."""
    download: str = registry.load("data/layouts", entry.layout).DOWNLOAD
    fix = f"{download} Then set datasets.{name}.root to that folder"
    if entry.layout in registry.names("data/phantoms"):
        fix += f", or datasets.{name}.source to phantom for synthetic data"
    return f"{fix}."


def _counted(
    name: str, inventory: Inventory, root: Path, expected: int, mend: str | None
) -> Finding:
    """The verdict on a dataset of which there is at least one case."""
    patients = len({case.patient for case in inventory.cases})
    detail = f"{inventory.count} of {patients} patients; the split needs {expected} patients"
    unlabeled = sum(case.label is None for case in inventory.cases)
    if unlabeled:
        detail += f"; {unlabeled} cases have no label map"
    gaps = inventory.gaps(root, MOST_NAMES)
    missing = f"; missing: {gaps}" if gaps else ""
    if patients < expected:
        fix = mend or f"complete the download, or lower datasets.{name}.split{missing}"
        return Finding(name, detail, Level.ERROR, fix)
    if inventory.partial:
        fix = f"complete the download, or go on with what is there{missing}"
        return Finding(name, detail, Level.WARNING, fix)
    return Finding(name, detail)


def _block(title: str, rows: list[list[str]]) -> str:
    indented = [[f"  {first}", *rest] for first, *rest in rows]
    return "\n".join([title, *([aligned(indented, numbers=False)] if rows else [])])
