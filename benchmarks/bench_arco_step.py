"""Time and memory of ARCO's fine-tuning step against a plain mean-teacher step.

Same network (U-Net 16-256), batch (4 + 4 images of 256 x 256) and optimizer; every pixel is valid
and hard, so that the masks are as large as they can be. Steps of one thread are interleaved; the
figures are medians of ratios within a round, in CPU time, so that other jobs on the machine do not
count. Peak memory is that of a process of its own, less what the imports take.

    python benchmarks/bench_arco_step.py [--rounds 7] [--sampler sg]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from arco.contracts import Batch, Context, Progress, Randomness, Trainable
from arco.losses.segmentation import supervised_loss
from arco.methods.arco import Method, Settings
from arco.models.teacher import Teacher
from arco.models.unet import UNet

LABELED, UNLABELED, SIZE, CLASSES = 4, 4, 256, 4
PROGRESS = Progress(step=0, total=1, steps_per_epoch=1)
DECAY = 0.99
SETTINGS = {
    "grid": 4, "lambda1": 0.01, "lambda2": 1.0, "lambda3": 1.0, "temperature": 0.5, "width": 512,
    "queries": 256, "negatives": 512, "similarity": "cosine", "reduction": "mean",
    "weak_threshold": 0.0, "strong_threshold": 1.0, "memory_bank": 36, "neighbors": 5,
    "neighbor_pooling": 8, "ema_decay": DECAY,
}  # fmt: skip
TARGETS = {"mean_teacher": 1.0, "shared": 1.3, "per_query": 1.5}
MEMORY_TARGET = 1.5


def make_batch() -> Batch:
    """Noise images and, for the labeled ones, three nested discs that cover about 5 %."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(LABELED + UNLABELED, 1, SIZE, SIZE, generator=generator)
    axis = torch.arange(SIZE) - SIZE / 2
    radius = (axis[:, None].square() + axis.square()).sqrt()
    labels = torch.stack([radius < bound for bound in (32, 24, 16)]).sum(dim=0)
    frame = torch.ones(LABELED + UNLABELED, SIZE, SIZE, dtype=torch.bool)
    labels = labels.expand(LABELED, -1, -1).contiguous()
    return Batch(images, labels, frame, mined=images[:0], heights=images[:, 0, 0, 0])


class MeanTeacher(torch.nn.Module):
    """Supervised loss and consistency of the unlabeled images' probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.student = UNet(1, CLASSES)
        self.teacher = Teacher(self.student)

    def loss(self, batch: Batch) -> Tensor:
        """One pass of the student on all images, one of the teacher on the unlabeled ones."""
        logits = self.student(batch.images)
        with torch.no_grad():
            targets = self.teacher(batch.unlabeled).softmax(dim=1)
        consistency = functional.mse_loss(logits[LABELED:].softmax(dim=1), targets)
        return supervised_loss(logits[:LABELED], batch.labels) + 0.1 * consistency

    def after_update(self, progress: Progress) -> None:  # noqa: ARG002
        """Move the teacher."""
        self.teacher.update(self.student, DECAY)


def build_arco(negative_draws: str, sampler: str) -> Trainable:
    settings = Settings(**SETTINGS, negative_draws=negative_draws, sampler=sampler)
    context = Context(
        build_network=lambda: UNet(1, CLASSES),
        pretrained=None,
        classes=CLASSES,
        spatial_axes=2,
        image_size=(SIZE, SIZE),
        channels=1,
        randomness=Randomness(0, torch.device("cpu")),
        training_items=1312,
    )
    return Method(settings, context)


class Step:
    """A method with its optimizer and batch; calling it takes one training step."""

    def __init__(self, mode: str, sampler: str) -> None:
        torch.manual_seed(0)
        plain = mode == "mean_teacher"
        self.method = MeanTeacher() if plain else build_arco(mode, sampler)
        self.batch = make_batch()
        self.loss: Callable[[], Tensor] = (
            (lambda: self.method.loss(self.batch))
            if plain
            else (lambda: self.method.step(self.batch, PROGRESS).loss)
        )
        trained = [weight for weight in self.method.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9, weight_decay=1e-4)

    def __call__(self) -> dict[str, float]:
        """CPU seconds of the three parts of a step."""
        times = [time.process_time()]
        loss = self.loss()
        times.append(time.process_time())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        times.append(time.process_time())
        self.optimizer.step()
        self.method.after_update(PROGRESS)
        times.append(time.process_time())
        parts = zip(("loss", "backward", "update"), times[:-1], times[1:], strict=True)
        return {name: end - start for name, start, end in parts}


def compare_times(rounds: int, sampler: str) -> None:
    steps = {mode: Step(mode, sampler) for mode in TARGETS}
    records: dict[str, list[dict[str, float]]] = defaultdict(list)
    for turn in range(rounds + 2):
        for mode, step in steps.items():
            record = step()
            if turn > 1:  # until then, caches and the neighbor bank fill
                records[mode].append(record)
    totals = {mode: [sum(record.values()) for record in records[mode]] for mode in records}
    for mode, target in TARGETS.items():
        pairs = zip(totals[mode], totals["mean_teacher"], strict=True)
        ratio = statistics.median(a / b for a, b in pairs)
        parts = ", ".join(
            f"{name} {statistics.median(record[name] for record in records[mode]):.2f}"
            for name in records[mode][0]
        )
        seconds = statistics.median(totals[mode])
        print(f"{mode:12s} {seconds:6.2f} s ({parts}), ratio {ratio:.2f} (target {target})")


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory(mode: str, sampler: str) -> None:
    before = peak_megabytes()
    step = Step(mode, sampler)
    for _ in range(3):
        step()
    print(peak_megabytes() - before)


def compare_memory(sampler: str) -> None:
    peaks = {}
    for mode in TARGETS:
        command = [sys.executable, __file__, "--memory-of", mode, "--sampler", sampler]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks[mode] = float(answer.stdout)
        ratio = peaks[mode] / peaks["mean_teacher"]
        print(f"{mode:12s} {peaks[mode]:6.0f} MB, ratio {ratio:.2f} (target {MEMORY_TARGET})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sampler", choices=["ns", "sg", "sag"], default="sg")
    parser.add_argument("--memory-of", choices=list(TARGETS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)  # as in training
    torch.utils.deterministic.fill_uninitialized_memory = False
    if options.memory_of:
        measure_memory(options.memory_of, options.sampler)
        return
    # First, while this process is small: a child's peak counts what its parent held.
    compare_memory(options.sampler)
    compare_times(options.rounds, options.sampler)


if __name__ == "__main__":
    main()
