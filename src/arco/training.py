"""The training loop of every fine-tuning method and every pretraining framework.

One run: settings and prepared data in; weights, history and provenance out. A killed run goes on
from its last checkpoint and ends, on CPU, with the very bits of an undisturbed one.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from arco import files, registry
from arco.averaging import WeightAverage
from arco.checkpoint import Resume, fingerprint
from arco.contracts import Context, Progress, Randomness, Trainable
from arco.data.loading import Prepared, TrainingBatches
from arco.device import choose_device, make_deterministic, reuse_memory
from arco.errors import ArcoError
from arco.gradients import gradient_shares
from arco.history import History
from arco.models.backbone import Backbone
from arco.models.build import build_network, load_weights
from arco.models.memory_format import channels_last
from arco.optimizers import build_optimizer
from arco.plan import canonical
from arco.progress import Report
from arco.provenance import provenance
from arco.schedules import learning_rate_factor
from arco.schema.training import Augmentation, Training
from arco.snapshots import Snapshots
from arco.validation import ValidationCurve

LOG = logging.getLogger("arco")
OUTPUTS = ("weights.safetensors", "history.csv", "settings.json")


@dataclass(frozen=True)
class Job:
    """What one training run reads and where it writes.

    Attributes:
        settings: the tree of `Plan.finetune_settings` or `Plan.pretrain_settings`.
        prepared: folder of the prepared dataset.
        training_list: case ids of the training part.
        labeled_list: case ids (or `case@slice`) with labels; None where no labels are read.
        pretrained: folder of the pretraining to start from, or None.
        out: folder of the results.
        resume: folder of checkpoints.
        validation_list: case ids of the validation part; None for no validation curve.
    """

    settings: dict[str, Any]
    prepared: Path
    training_list: Path
    labeled_list: Path | None
    pretrained: Path | None
    out: Path
    resume: Path
    validation_list: Path | None = None

    def inputs(self) -> dict[str, Path]:
        """The files whose bytes decide the result."""
        named = {
            "manifest": self.prepared / "manifest.json",
            "training": self.training_list,
            "labeled": self.labeled_list,
            "pretrained": self.pretrained / "weights.safetensors" if self.pretrained else None,
            "validation": self.validation_list,
        }
        return {name: path for name, path in named.items() if path is not None}


def train(
    job: Job, *, device: str, threads: int, checkpoint_seconds: float, report: Report
) -> None:
    """Run a job to its end, from its last checkpoint where there is one.

    Writes weights.safetensors, history.csv, settings.json, provenance.json and, where asked for,
    snapshots below `job.out`, each complete or not at all.

    Raises:
        ArcoError: an input is missing, damaged or does not fit the settings.
    """
    started = time.monotonic()
    chosen = choose_device(device)
    make_deterministic(chosen, threads)
    reuse_memory()
    resume = Resume(job.resume, fingerprint(canonical(job.settings), job.inputs()))
    with resume.locked():
        if resume.finished(job.out, OUTPUTS):
            LOG.info("%s is already finished", job.out)
            return
        run = Run(job, chosen)
        state = resume.load(chosen)
        if state is not None:
            run.restore(state)
            LOG.info("continuing from step %d of %d", run.step, run.total)
        run.advance(resume, checkpoint_seconds, report)
        run.write()
        facts = {"seconds": round(run.seconds, 1), "steps": run.total, "device": chosen.type}
        facts["threads"] = threads
        files.write_json(job.out / "provenance.json", {**facts, **provenance()})
        resume.finish(job.out, [*OUTPUTS, *run.snapshots.names])
        run.snapshots.clear()
    LOG.info("finished %s in %.0f s", job.out, time.monotonic() - started)


class Run:
    """The state of a running job."""

    def __init__(self, job: Job, device: torch.device) -> None:
        settings = job.settings
        self.job = job
        self.device = device
        self.training = Training.model_validate(settings["training"])
        self.randomness = Randomness(settings["seed"], device)
        dataset = settings["dataset"]
        prepared = Prepared(job.prepared)
        self.channels = prepared.channels
        self.augmentation = Augmentation.model_validate(settings["augmentation"])
        self.batches = TrainingBatches(
            prepared,
            training_list=job.training_list,
            labeled_list=job.labeled_list,
            sizes=self.training.batch,
            augmentation=self.augmentation,
            randomness=self.randomness,
            patch=dataset["image_size"] if dataset["spatial_axes"] == 3 else None,
        )
        sizes = self.training.batch
        self.steps_per_epoch = math.ceil(
            self.batches.training_items / (sizes.labeled + sizes.unlabeled)
        )
        self.total = self.training.total_steps(self.steps_per_epoch)
        self.validation: ValidationCurve | None = None
        if job.validation_list is not None:  # before the seed, since to build a network takes some
            self.validation = ValidationCurve(prepared, job.validation_list, settings, device)
        # Initial weights and dropout come from torch's global generator: layers take no other.
        torch.manual_seed(settings["seed"])
        on_gpu = device.type == "cuda"
        self.method = channels_last(self._build_method().to(device).train(), planes=on_gpu)
        self._trained = [p for p in self.method.parameters() if p.requires_grad]
        self.optimizer = build_optimizer(self.training.optimizer, self.method.named_parameters())
        decay = self.training.average_decay
        self.average = WeightAverage(decay) if decay else None
        self.snapshots = Snapshots(self.training.snapshots, self.total, job.resume)
        self.history = History()
        self.step = 0
        self.seconds = 0.0

    def _build_method(self) -> Trainable:
        settings = self.job.settings
        package = "methods" if settings["stage"] == "finetune" else "pretraining"
        values = dict(settings["method"])
        module = registry.load(package, values.pop("name"))
        context = Context(
            build_network=self._build_network,
            pretrained=self._pretrained(),
            classes=len(settings["dataset"]["classes"]),
            spatial_axes=settings["dataset"]["spatial_axes"],
            image_size=tuple(settings["dataset"]["image_size"]),
            augmentation=self.augmentation,
            channels=self.channels,
            randomness=self.randomness,
            training_items=self.batches.training_items,
        )
        method: Trainable = module.Method(module.Settings.model_validate(values), context)
        return method

    def _build_network(self) -> Backbone:
        network = build_network(self.job.settings, self.channels)
        network.mixed_precision = self.training.mixed_precision and self.device.type == "cuda"
        return network

    def _pretrained(self) -> dict[str, Tensor] | None:
        folder = self.job.pretrained
        if folder is None:
            return None
        theirs = files.read_json(folder / "settings.json")
        for key in ("dataset", "network", "seed"):
            if theirs.get(key) != self.job.settings[key]:
                raise ArcoError(
                    f"{folder / 'weights.safetensors'} is from another configuration ({key} "
                    "differs); pretrain again with the present parameters"
                )
        return load_weights(folder / "weights.safetensors")

    def advance(self, resume: Resume, checkpoint_seconds: float, report: Report) -> None:
        """Take the remaining steps, saving the state every `checkpoint_seconds`."""
        last_saved = time.monotonic()
        report(self.step, self.total)
        while self.step < self.total:
            before = time.monotonic()
            self._take_step()
            self.seconds += time.monotonic() - before
            if self.step < self.total and time.monotonic() - last_saved >= checkpoint_seconds:
                resume.save(self.state())
                last_saved = time.monotonic()
            report(self.step, self.total)

    def _take_step(self) -> None:
        progress = Progress(self.step, self.total, self.steps_per_epoch)
        factor = learning_rate_factor(self.training.schedule, self.step, self.total)
        lr = self.training.optimizer.lr * factor
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        output = self.method.step(self.batches.next(), progress)
        logs = {"loss": output.loss, **output.logs}
        if self.training.gradients_every and self.step % self.training.gradients_every == 0:
            logs |= gradient_shares(output.terms, self._trained)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(output.loss)
        self.optimizer.step()
        self.method.after_update(progress)
        if self.average is not None:
            self.average.update(self.method.exported(), self.step)
        self.history.add(logs)
        self.step += 1
        self.snapshots.take(self.step, self.method)
        if self.step % self.training.log_every == 0 or self.step == self.total:
            self.history.close_row(progress, lr, self._measured())

    def _measured(self) -> dict[str, float]:
        """What the row that ends now says beside the means over its steps."""
        if self.validation is None:
            return {}
        due = self.step == self.total or self.step % self.training.validate_every == 0
        return {"validation_dice": self.validation.mean_dice(self.exported())} if due else {}

    def exported(self) -> dict[str, Tensor]:
        """The weights to keep at this step: their average over the steps, or the method's last."""
        return self.method.exported() if self.average is None else self.average.weights

    def state(self) -> dict[str, Any]:
        """Everything that the remaining steps depend on."""
        state: dict[str, Any] = {
            "step": self.step,
            "seconds": self.seconds,
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "batches": self.batches.state_dict(),
            "history": {
                "rows": self.history.rows,
                "sums": self.history.sums,
                "counts": self.history.counts,
            },
            "generators": {
                name: generator.get_state()
                for name, generator in self.randomness.generators.items()
            },
            "torch_generator": torch.get_rng_state(),
        }
        if self.average is not None:
            state["average"] = self.average.weights
        if self.device.type == "cuda":
            state["cuda_generator"] = torch.cuda.get_rng_state(self.device)
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `state` describes."""
        self.step, self.seconds = state["step"], state["seconds"]
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.batches.load_state_dict(state["batches"])
        if self.average is not None:
            self.average.weights = state["average"]
        self.history = History(**state["history"])
        for name, generator_state in state["generators"].items():
            self.randomness.generator(name).set_state(generator_state.cpu())
        torch.set_rng_state(state["torch_generator"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_generator"].cpu(), self.device)

    def write(self) -> None:
        """Write the results, the weights last."""
        weights, history, settings = (self.job.out / name for name in OUTPUTS)
        files.write_json(settings, {**self.job.settings, "channels": self.channels})
        files.write_csv(history, self.history.rows, self.history.columns)
        self.snapshots.publish(self.job.out)
        exported = {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.exported().items()
        }
        with files.atomic(weights) as temporary:
            save_file(exported, temporary)
