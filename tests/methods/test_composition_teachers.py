"""Methods with an average teacher: each term by hand from what both saw and answered."""

from __future__ import annotations

import math

import pytest
import torch
from by_hand import probs, squares, supervised
from hearing import LABELED, TAUGHT, TRAINED, awake, compare, hear, uneven_batch
from scipy.stats import beta

from arco.contracts import Progress
from arco.errors import ArcoError

AXES = pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"])


def is_clipped_noise(noise, deviation):
    """Normal, cut off at two deviations, where 4.55 % lie; each within five standard errors."""
    unit, error = noise / deviation, 5 / math.sqrt(noise.numel())
    at_limit = (unit.abs() > 1.999).float().mean()
    return (
        unit.abs().max() < 2.001
        and abs(at_limit - 0.0455) < 0.21 * error
        and abs(unit.mean()) < error
        and abs(unit.std() - 0.9594) < 0.7 * error
    )


@AXES
def test_mt(axes):
    heard = hear(awake("mt", axes), uneven_batch("mt", axes))
    batch = heard.batch
    (student,), (teacher,) = heard.passes("student"), heard.passes("teacher.module")
    assert torch.equal(student.images, batch.images)
    assert is_clipped_noise(teacher.images - batch.unlabeled, 0.3)
    assert (student.mode, teacher.mode) == (TRAINED, TAUGHT)
    own, target = probs(student.logits)[LABELED:], probs(teacher.logits)
    compare(
        heard,
        {
            "supervised": (1, supervised(student.logits[:LABELED], batch.labels)),
            "consistency": (heard.weight(), squares(own, target, batch.frame[LABELED:])),
        },
    )


def test_mt_waits():
    """Until its start the loss is the supervised one alone; the term is logged all the same."""
    for step, waits in ((24, True), (25, False)):
        heard = hear(awake("mt", 2), uneven_batch("mt", 2), Progress(step, 50, 10))
        logs = heard.output.logs
        assert (heard.output.loss.item() == logs["supervised"].item()) == waits
        assert logs["consistency"] > 0


@AXES
@pytest.mark.parametrize("step", [20, 40])
def test_uamt(axes, step):
    heard = hear(awake("uamt", axes), uneven_batch("uamt", axes), Progress(step, 50, 10))
    batch = heard.batch
    (student,), taught = heard.passes("student"), heard.passes("teacher.module")
    assert torch.equal(student.images, batch.images)
    assert student.mode == TRAINED
    noises = [own.images - batch.unlabeled for own in taught]
    assert len(taught) == 4 and {own.mode for own in taught} == {TAUGHT}
    assert all(is_clipped_noise(noise, 0.3) for noise in noises)
    for index, noise in enumerate(noises):  # no two passes share theirs
        assert all((noise - other).abs().mean() > 0.1 for other in noises[:index])
    # Three passes measure the certainty, the fourth gives the target.
    mean = sum(probs(own.logits) for own in taught[:3]) / 3
    entropy = -(mean * (mean + 1e-6).log()).sum(dim=1)
    height = math.exp(-5 * (1 - step / 50) ** 2)
    certain = entropy < (0.7 + 0.3 * height) * math.log(3)
    frame = batch.frame[LABELED:]
    assert 0.1 < certain[frame].float().mean() < {20: 0.9, 40: 1.01}[step]
    own, target = probs(student.logits)[LABELED:], probs(taught[3].logits)
    compare(
        heard,
        {
            "supervised": (1, supervised(student.logits[:LABELED], batch.labels)),
            "consistency": (
                0.37 * math.exp(-5 * (1 - step / 50 / 0.9) ** 2),
                squares(own, target, frame & certain),
            ),
            "certain": (0, certain[frame].float().mean()),
        },
    )


@AXES
def test_ict(axes):
    heard = hear(awake("ict", axes), uneven_batch("ict", axes, unlabeled=5))
    batch = heard.batch
    first, second = batch.unlabeled[:2], batch.unlabeled[2:4]  # the fifth has no partner
    (student,), (teacher,) = heard.passes("student"), heard.passes("teacher.module")
    assert torch.equal(teacher.images, batch.unlabeled[:4])
    assert torch.equal(student.images[:LABELED], batch.labeled)
    assert (student.mode, teacher.mode) == (TRAINED, TAUGHT)
    mixed, gaps = student.images[LABELED:], (second - first).flatten(1)
    shares = ((mixed - first).flatten(1) * gaps).sum(dim=1) / (gaps**2).sum(dim=1)
    assert ((shares > 0.02) & (shares < 0.98)).all() and shares[0] != shares[1]
    shares = shares.view(-1, *[1] * (axes + 1))
    torch.testing.assert_close(mixed, (1 - shares) * first + shares * second)
    target = probs(teacher.logits)
    target = (1 - shares) * target[:2] + shares * target[2:]
    frame = batch.frame[LABELED:]
    compare(
        heard,
        {
            "supervised": (1, supervised(student.logits[:LABELED], batch.labels)),
            "consistency": (
                heard.weight(),
                squares(probs(student.logits)[LABELED:], target, frame[:2] & frame[2:4]),
            ),
        },
    )


@pytest.mark.parametrize("concentration", [0.2, 1.0, 5.0])
def test_shares_of_ict_follow_its_beta_distribution(concentration):
    """Counted in the middle half, where 17 % lie at the default of 0.2."""
    middle = 1 - 2 * beta.cdf(0.25, concentration, concentration)
    heard = hear(
        awake("ict", 2, concentration=concentration), uneven_batch("ict", 2, unlabeled=800)
    )
    first, second = heard.batch.unlabeled.chunk(2)
    mixed = heard.passes("student")[0].images[LABELED:]
    shares = ((mixed - first) / (second - first)).flatten(1).nanmedian(dim=1).values
    found = ((shares > 0.25) & (shares < 0.75)).float().mean().item()
    assert found == pytest.approx(middle, abs=3.5 * math.sqrt(middle * (1 - middle) / 400))


@pytest.mark.parametrize("name", ["mt", "uamt", "ict", "action"])
@pytest.mark.parametrize("step", [0, 40, 48])
def test_teachers_average_their_students(name, step):
    """min(1 - 1 / (t + 1), a) of the teacher stays, in ACTION always a; parameters alone move."""
    method = awake(name, 2, ema_decay=0.975)
    pairs = [(method.student, method.teacher.module)]
    if name == "action":
        pairs.append((method.contrast.head, method.contrast.teacher_head.module))
    hear(method, uneven_batch(name, 2))
    old = [[p.clone() for p in teacher.parameters()] for _, teacher in pairs]
    buffers = [[b.clone() for b in teacher.buffers()] for _, teacher in pairs]
    with torch.no_grad():
        for student, _ in pairs:
            for weight in student.parameters():
                weight += 0.5
    method.after_update(Progress(step, 50, 10))
    kept = 0.975 if name == "action" else min(1 - 1 / (step + 1), 0.975)
    for (student, teacher), before, statistics in zip(pairs, old, buffers, strict=True):
        for own, was, theirs in zip(
            teacher.parameters(), before, student.parameters(), strict=True
        ):
            torch.testing.assert_close(own, kept * was + (1 - kept) * theirs)
        assert all(map(torch.equal, teacher.buffers(), statistics))


@pytest.mark.parametrize("name", ["mt", "uamt", "ict"])
def test_the_teacher_is_exported_with_the_student_s_statistics_where_it_is_tested(name):
    method = awake(name, 2, tested="teacher")
    hear(method, uneven_batch(name, 2, unlabeled=4))
    exported, student = method.exported(), method.student.state_dict()
    teacher = method.teacher.module.state_dict()
    for key, value in exported.items():
        statistic = "running" in key or "num_batches" in key
        assert torch.equal(value, student[key] if statistic else teacher[key])
    assert set(awake(name, 2).exported()) == set(exported)


def test_a_single_unlabeled_image_cannot_be_mixed():
    with pytest.raises(ArcoError, match=r"training\.batch\.unlabeled"):
        hear(awake("ict", 2), uneven_batch("ict", 2, unlabeled=1))
