"""A plan of a handful of cells, independent of params.yaml and of which methods there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from arco import fields, registry
from arco.params import Parameters
from arco.plan import Plan
from arco.trees import merged

TRAINING = {
    "epochs": 1,
    "iterations": 2,
    "max_iterations": None,
    "batch": {"labeled": 1, "unlabeled": 1, "mined": 0, "blocks": 0},
    "optimizer": {
        "name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0, "nesterov": False,
    },
    "schedule": {
        "name": "poly", "power": 0.9, "step_iterations": 1, "step_factor": 0.1, "warm_up": 0.0,
    },
    "mixed_precision": True,
    "log_every": 1,
}  # fmt: skip
TABLE = {
    "title": "First",
    "caption": "",
    "datasets": ["heart"],
    "labels": ["10%", "50%"],
    "classes": ["average"],
    "scores": [{"score": "dice", "label": "DSC", "best": "high"}],
    "style": "columns",
    "rows": [{"recipe": "plain", "label": "Plain"}, {"recipe": "started", "label": "Started"}],
}
FIGURE = {
    "title": "Sweep",
    "caption": "",
    "kind": "sweep",
    "dataset": "heart",
    "labels": "10%",
    "part": "val",
    "scores": TABLE["scores"],
    "sweeps": [
        {"label": "x", "recipe": "plain", "key": "training.optimizer.lr", "values": [0.01, 0.1]}
    ],
}
TREE = {
    "scale": "smoke",
    "protocol": "default",
    "seeds": [0, 1],
    "paths": {"data": "data", "results": "results", "splits": "splits", "work": "work"},
    "runtime": {"device": "cpu", "threads": 1, "checkpoint_seconds": 1.0},
    "versions": {
        "phantom": 1, "prepare": 1, "pretrain": 1, "finetune": 1, "evaluate": 1, "variance": 1,
        "report": 1,
    },
    "datasets": {
        "heart": {
            "title": "Heart",
            "layout": "acdc",
            "source": "raw",
            "root": "data/raw/heart",
            "subsets": ["training"],
            "classes": {"background": 0, "lv": 3},
            "spatial_axes": 2,
            "image_size": [16, 16],
            "intensity_window": None,
            "split": {"train": 2, "val": 1, "test": 1, "seed": 0},
            "labels": {
                "10%": {"patients": 1, "slices": 1.0}, "50%": {"patients": 2, "slices": 1.0},
            },
            "phantom": {"patients": 4, "seed": 0},
        }
    },
    "networks": {
        "unet": {"channels": [2] * 5, "dropout": [0.0] * 5},
        "vnet": {"channels": [2] * 5, "dropout": 0.0},
    },
    "augmentation": {
        "rotation": True, "rotation_degrees": 20, "quarter_turns": 0.5,
        "crop": True, "crop_padding": 4, "flip": True,
    },
    "training": TRAINING,
    "methods": {"supervised": {}, "other": {}},
    "pretraining": {"contrast": {"uses_labels": False}},
    "window": {"overlap": 0.5, "stride": None},
    "volumes": {"training": {}, "augmentation": {}, "methods": {}, "pretraining": {}},
    "recipes": {
        "plain": {"method": "supervised"},
        "started": {"method": "supervised", "pretraining": "contrast"},
    },
    "tables": {"table1": TABLE},
    "comparisons": {},
    "bootstrap": {"resamples": 100, "level": 0.95, "seed": 0},
    "variance": {"batches": 1, "query_draws": 4, "training_draws": 4, "block": 2, "seed": 0},
    "figures": {"figure2": FIGURE},
    "scales": {"demo": {}, "smoke": {}, "paper": {}},
}  # fmt: skip


class NoSettings(fields.Settings):
    """A method or pretraining without constants."""


def small_plan(monkeypatch, root: Path, **overlay: Any) -> Plan:
    """Two recipes at two budgets and two seeds, one shared pretraining, one sweep figure."""
    known = {"methods": ("supervised", "other"), "pretraining": ("contrast",)}
    layouts = registry.names("data/layouts")
    monkeypatch.setattr(registry, "names", lambda package: known.get(package, layouts))
    monkeypatch.setattr(registry, "settings_class", lambda package, name: NoSettings)
    return Plan(Parameters(merged(TREE, overlay), root))
