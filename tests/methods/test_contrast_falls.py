"""In a short run the contrast is learned: it falls, and class means turn away from each other.

From a network that segments already, as fine-tuning starts, on images whose label is their
brightness. Where the neighbor loss has the weight of the supervised one, nothing is learned: the
representation collapses, and this test would tell of it.
"""

from __future__ import annotations

import pytest
import torch
from small_methods import Training, make_batch, start

SIZE, STEPS, RATE = (32, 32), 50, 0.005
SHORT = {
    "width": 64, "queries": 64, "negatives": 64, "negative_draws": "shared", "ema_decay": 0.9,
    "neighbors": 5, "memory_bank": 36, "neighbor_pooling": 4,
}  # fmt: skip
LETTER = {"strong": None, "equivariance_weight": 0.0}


def train(training: Training, steps: int, unlabeled: int = 3) -> list[dict[str, float]]:
    """Logs of Adam's steps over ten batches."""
    trained = [weight for weight in training.method.parameters() if weight.requires_grad]
    training.optimizer = torch.optim.Adam(trained, lr=RATE)
    rows = []
    for step in range(steps):
        batch = make_batch(step % 10, 3, 3, unlabeled, size=SIZE)
        logs = training.step(batch).logs
        rows.append({name: value.item() for name, value in logs.items()})
    return rows


@pytest.fixture(scope="module")
def pretrained():
    training = start("supervised", seed=1, size=SIZE)
    train(training, 40, unlabeled=0)
    return training.method.exported()


def means(pretrained, steps=STEPS, **settings):
    """Contrast over chance and cosine of class means, of the first and of the last ten steps."""
    training = start(
        "arco", seed=1, size=SIZE, pretrained=pretrained, settings={**SHORT, **settings}
    )
    rows = train(training, steps)
    return [
        [sum(row[name] for row in part) / len(part) for part in (rows[:10], rows[-10:])]
        for name in ("contrast_over_chance", "class_cosine")
    ]


@pytest.mark.parametrize("view", [{}, LETTER], ids=["strong", "turned"])
def test_the_contrast_falls_and_classes_part(pretrained, view):
    contrast, cosine = means(pretrained, lambda3=0.01, **view)
    assert contrast[1] < 0.8 * contrast[0]
    assert cosine[0] > 0.5 and cosine[1] < 0


def test_at_the_weight_of_the_supervised_loss_neighbors_collapse_the_representation(pretrained):
    contrast, cosine = means(pretrained, steps=30, lambda3=1.0, **LETTER)
    assert contrast[1] > contrast[0]
    assert cosine[1] > 0.95
