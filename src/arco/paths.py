"""The only place that knows where an artefact lies. Pure path arithmetic, no torch, no disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from arco.params import Parameters


def label_key(labels: str) -> str:
    """How a labels entry is written in paths: `1%` becomes `1pct`, a count stays as it is."""
    return labels.replace("%", "pct")


def labels_entry(key: str) -> str:
    """The labels entry that `label_key` made a key of."""
    return key.replace("pct", "%")


def variance_name(dataset: str, labels: str, recipe: str, seed: int | str) -> str:
    """How the variances of a cell are called: in its files and where they are published."""
    return f"{recipe}_{dataset}_{labels}_seed{seed}"


@dataclass(frozen=True)
class Paths:
    """Where artefacts of one scale and protocol lie, relative to the folder of params.yaml."""

    data: Path
    results: Path
    splits: Path
    work: Path
    variant: str

    @classmethod
    def of(cls, parameters: Parameters) -> Paths:
        """The paths that `parameters` describe."""
        roots = parameters.sections.paths
        return cls(
            Path(roots.data),
            Path(roots.results),
            Path(roots.splits),
            Path(roots.work),
            parameters.variant,
        )

    def phantom(self, dataset: str) -> Path:
        """Folder of a synthetic dataset; shared by all scales."""
        return self.data / "phantom" / dataset

    def prepared(self, dataset: str) -> Path:
        """Folder of prepared arrays, manifest and split lists."""
        return self.data / "prepared" / self.variant / dataset

    def manifest(self, dataset: str) -> Path:
        """What was prepared, with checksums."""
        return self.prepared(dataset) / "manifest.json"

    def split(self, dataset: str, name: str) -> Path:
        """A split list: train, val, test or labeled_<key>."""
        return self.prepared(dataset) / "splits" / f"{name}.txt"

    def user_splits(self, dataset: str) -> Path:
        """Folder where a user puts lists that replace the generated ones."""
        return self.splits / dataset

    def pretrained(self, dataset: str, labels: str, name: str, seed: int) -> Path:
        """Folder of a pretraining; `labels` is `all` where it reads none."""
        return self.results / "pretrained" / self.variant / dataset / labels / name / f"seed{seed}"

    def run(self, dataset: str, labels: str, recipe: str, seed: int) -> Path:
        """Folder of one cell: weights, history, predictions, metrics."""
        return self.results / "runs" / self.variant / dataset / labels / recipe / f"seed{seed}"

    def resume(self, run: Path) -> Path:
        """Folder of checkpoints of an unfinished run or pretraining."""
        return self.work / "resume" / run.relative_to(self.results)

    def variance(self, name: str, suffix: str = "csv") -> Path:
        """The samplers' variances at the snapshots of one cell, by `variance_name`."""
        return self.results / "variance" / self.variant / f"{name}.{suffix}"

    def table(self, name: str, suffix: str = "csv") -> Path:
        """A printed table."""
        return self.results / "tables" / f"{name}.{suffix}"

    def figure(self, name: str, suffix: str = "png") -> Path:
        """A picture."""
        return self.results / "figures" / f"{name}.{suffix}"
