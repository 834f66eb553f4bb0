"""Time and memory of ARCO's fine-tuning step against a plain mean-teacher step.

Same network (U-Net 16-256), batch (4 + 4 images of 256 x 256) and optimizer, one thread, repeats
interleaved; the figures are medians of ratios within a round. Each mode's peak memory is that of a
process of its own, less what the imports take.

    python benchmarks/bench_arco_step.py [--rounds 7] [--channels-last]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from arco.losses.pixel_contrast import class_contrast, similarities
from arco.losses.segmentation import cross_entropy, supervised_loss
from arco.models.head import RepresentationHead
from arco.models.keys import KeyField
from arco.models.teacher import Teacher
from arco.models.unet import UNet
from arco.sampling import draw, group

LABELED, UNLABELED, SIZE, CLASSES = 4, 4, 256, 4
QUERIES, NEGATIVES, GRID, TEMPERATURE = 256, 512, (4, 4), 0.5
BANK, NEIGHBORS, POOLED = 36, 5, (8, 8)
DECAY = 0.99
TARGETS = {"shared": 1.3, "per_query": 1.5, "memory": 1.5}


def make_batch() -> tuple[Tensor, Tensor]:
    """Noise images and, for the labeled ones, three nested discs on background (about 5 %)."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(LABELED + UNLABELED, 1, SIZE, SIZE, generator=generator)
    axis = torch.arange(SIZE) - SIZE / 2
    radius = (axis[:, None].square() + axis.square()).sqrt()
    labels = sum((radius < bound).long() for bound in (32, 24, 16))
    return images, labels.expand(LABELED, -1, -1).contiguous()


class MeanTeacherStep:
    """Supervised loss, consistency of the unlabeled images' probabilities, SGD, EMA."""

    def __init__(self, memory_format: torch.memory_format) -> None:
        torch.manual_seed(0)
        self.images, self.labels = make_batch()
        self.images = self.images.to(memory_format=memory_format)
        self.student = nn.ModuleDict(self.parts()).to(memory_format=memory_format)
        self.teacher = Teacher(self.student)
        self.optimizer = torch.optim.SGD(
            self.student.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4
        )
        self.seconds: dict[str, float] = defaultdict(float)

    def parts(self) -> dict[str, nn.Module]:
        return {"network": UNet(1, CLASSES)}

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds[part] += time.process_time() - start

    def loss(self) -> Tensor:
        with self.timed("student forward"):
            logits = self.student["network"](self.images)
        with self.timed("teacher forward"), torch.no_grad():
            targets = self.teacher.module["network"](self.images[LABELED:]).softmax(dim=1)
        consistency = functional.mse_loss(logits[LABELED:].softmax(dim=1), targets)
        return supervised_loss(logits[:LABELED], self.labels) + 0.1 * consistency

    def __call__(self) -> None:
        loss = self.loss()
        with self.timed("backward pass"):
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        with self.timed("update"):
            self.optimizer.step()
            self.teacher.update(self.student, DECAY)


class ArcoStep(MeanTeacherStep):
    """The objective of appendix Sec. C; every pixel is valid and hard, so masks are largest."""

    def __init__(self, memory_format: torch.memory_format, *, per_query: bool) -> None:
        super().__init__(memory_format)
        self.per_query = per_query
        self.generator = torch.Generator().manual_seed(0)
        bank = torch.randn(BANK, 512 * POOLED[0] * POOLED[1], generator=self.generator)
        self.bank = functional.normalize(bank, dim=1)

    def parts(self) -> dict[str, nn.Module]:
        network = UNet(1, CLASSES)
        return {"network": network, "head": RepresentationHead(network.feature_channels)}

    def loss(self) -> Tensor:
        student, teacher = self.student, self.teacher.module
        with self.timed("teacher forward"), torch.no_grad():
            keys = teacher["network"].features(self.images)
            probs = teacher["network"].classify(keys[-1][LABELED:]).softmax(dim=1)
            confidence, pseudo_labels = probs.max(dim=1)
        with self.timed("student forward"):
            features = student["network"].features(self.images)
            logits = student["network"].classify(features[-1])
        with self.timed("segmentation losses"):
            certain = (confidence >= 0.97).float().flatten(1).mean(dim=1)
            loss = supervised_loss(logits[:LABELED], self.labels)
            loss = loss + cross_entropy(logits[LABELED:], pseudo_labels, certain)
        labels = torch.cat([self.labels, pseudo_labels])
        loss = loss + 0.01 * self.contrast(features, keys, labels)
        with self.timed("neighbors"):
            return loss + self.neighbors(features, keys)

    def contrast(self, features: list[Tensor], keys: list[Tensor], labels: Tensor) -> Tensor:
        student, teacher = self.student["head"], self.teacher.module["head"]
        masks = torch.stack([labels == c for c in range(CLASSES)])
        with self.timed("draws"):
            present = [c for c in range(CLASSES) if masks[c].any()]
            drawn = [draw(masks[c], QUERIES, "sg", GRID, self.generator) for c in present]
            others = [self.draw_negatives(~masks[c]) for c in present]
        with self.timed("queries"):
            queries = student.at(features, torch.cat(drawn)).split(QUERIES)
        with self.timed("class means"), torch.no_grad():
            means = teacher.class_means(keys, masks[present])
        with self.timed("negatives"):
            losses = [
                class_contrast(similarities(own, mean[None])[:, 0], negatives, TEMPERATURE)
                for own, mean, negatives in zip(
                    queries, means, self.negatives(queries, keys, others), strict=True
                )
            ]
            return torch.stack(losses).mean()

    def negatives(
        self, queries: Sequence[Tensor], keys: list[Tensor], pixels: list[Tensor]
    ) -> list[Tensor]:
        teacher = self.teacher.module["head"]
        if self.per_query:
            field = KeyField(teacher, keys)
            return [
                field.similarity(own, drawn) for own, drawn in zip(queries, pixels, strict=True)
            ]
        with torch.no_grad():
            vectors = teacher.at(keys, torch.cat(pixels)).split(NEGATIVES)
        return [similarities(own, others) for own, others in zip(queries, vectors, strict=True)]

    def draw_negatives(self, mask: Tensor) -> Tensor:
        rows = QUERIES if self.per_query else None
        return draw(group(mask, GRID), NEGATIVES, "sg", GRID, self.generator, rows=rows)

    def neighbors(self, features: list[Tensor], keys: list[Tensor]) -> Tensor:
        student, teacher = self.student["head"], self.teacher.module["head"]
        # All images, or the backward pass would pad every map of a slice with zeros.
        own = student.pooled(features, POOLED)[LABELED:].flatten(1)
        with torch.no_grad():
            theirs = teacher.pooled([maps[LABELED:] for maps in keys], POOLED).flatten(1)
            theirs = functional.normalize(theirs, dim=1)
            nearest = (theirs @ self.bank.T).topk(NEIGHBORS).indices
        similarity = functional.normalize(own, dim=1) @ self.bank.T
        self.bank = torch.cat([theirs, self.bank[:-UNLABELED]])
        return (2 - 2 * similarity.gather(1, nearest)).mean()


MODES: dict[str, Callable[[torch.memory_format], MeanTeacherStep]] = {
    "mean_teacher": MeanTeacherStep,
    "shared": lambda form: ArcoStep(form, per_query=False),
    "per_query": lambda form: ArcoStep(form, per_query=True),
}


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory(mode: str, form: torch.memory_format) -> None:
    before = peak_megabytes()
    step = MODES[mode](form)
    for _ in range(2):
        step()
    print(peak_megabytes() - before)


def compare_times(rounds: int, form: torch.memory_format) -> None:
    steps = {mode: make(form) for mode, make in MODES.items()}
    times: dict[str, list[float]] = {mode: [] for mode in MODES}
    for turn in range(rounds + 1):
        for mode, step in steps.items():
            start = time.process_time()
            step()
            if turn:  # the first round warms up
                times[mode].append(time.process_time() - start)
            else:
                step.seconds.clear()
    plain = times["mean_teacher"]
    for mode, step in steps.items():
        ratio = statistics.median(a / b for a, b in zip(times[mode], plain, strict=True))
        median, target = statistics.median(times[mode]), TARGETS.get(mode, 1.0)
        print(f"{mode:12s}  {median:6.2f} s a step, ratio {ratio:.2f} (target {target})")
        for part, seconds in step.seconds.items():
            print(f"    {part:20s} {seconds / rounds:6.3f} s")


def compare_memory(arguments: list[str]) -> None:
    peaks = {}
    for mode in MODES:
        command = [sys.executable, __file__, "--memory-of", mode, *arguments]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks[mode] = float(answer.stdout)
    for mode, peak in peaks.items():
        ratio = peak / peaks["mean_teacher"]
        print(f"{mode:12s}  {peak:6.0f} MB peak, ratio {ratio:.2f} (target {TARGETS['memory']})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--memory-of", choices=list(MODES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)  # as in training
    torch.utils.deterministic.fill_uninitialized_memory = False
    form = torch.channels_last if options.channels_last else torch.contiguous_format
    if options.memory_of:
        measure_memory(options.memory_of, form)
    else:
        # First, while this process is small: a child's peak counts what its parent held.
        compare_memory(["--channels-last"] if options.channels_last else [])
        compare_times(options.rounds, form)


if __name__ == "__main__":
    main()
