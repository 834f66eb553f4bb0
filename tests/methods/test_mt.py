from __future__ import annotations

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Progress
from arco.losses.consistency import mean_squared


@pytest.mark.parametrize("name", ["mt", "uamt", "ict"])
def test_the_first_update_makes_the_teacher_a_copy(name):
    training = start(name)
    training.step()
    student, teacher = training.method.student, training.method.teacher.module
    pairs = zip(student.parameters(), teacher.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    training.step()
    pairs = zip(student.parameters(), teacher.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)


def test_noise_is_cut_off_at_two_deviations():
    method = start("mt").method
    noise = method.noisy(torch.zeros(16, 1, 64, 64), 0.1)
    assert noise.abs().max() <= 0.2
    assert noise.std().item() == pytest.approx(0.0959, abs=1.5e-3)
    assert (noise.abs() == 0.2).float().mean().item() == pytest.approx(0.0455, abs=3e-3)


def test_without_noise_and_with_equal_networks_nothing_is_inconsistent():
    training = start("mt", noise=0.0)
    training.method.eval()
    output = training.method.step(make_batch(0), Progress(0, 50, 10))
    assert output.logs["consistency"].item() == pytest.approx(0, abs=1e-10)


def test_only_unlabeled_images_are_compared():
    training = start("mt", noise=0.0)
    with torch.no_grad():
        training.method.teacher.module.classifier.bias += torch.tensor([1.0, 0.0, -1.0])
    training.method.eval()
    batch = make_batch(0)
    output = training.method.step(batch, Progress(0, 50, 10))
    student, teacher = (
        network(batch.unlabeled).softmax(dim=1)
        for network in (training.method.student, training.method.teacher)
    )
    expected = mean_squared(student, teacher, batch.frame[2:])
    torch.testing.assert_close(output.logs["consistency"], expected.detach())


def test_consistency_starts_after_the_delay():
    training = start("mt", delay=0.5, weight=100.0, ramp=0.0)
    early = training.method.step(make_batch(0), Progress(24, 50, 10))
    late = training.method.step(make_batch(0), Progress(25, 50, 10))
    assert early.loss.item() == pytest.approx(early.logs["supervised"].item())
    assert late.loss > late.logs["supervised"]


@pytest.mark.parametrize("name", ["mt", "uamt", "ict"])
def test_the_teacher_is_exported_with_the_student_s_statistics_where_it_is_tested(name):
    training = start(name, tested="teacher")
    for _ in range(3):
        training.step()
    method = training.method
    exported, student = method.exported(), method.student.state_dict()
    teacher = method.teacher.module.state_dict()
    for key, value in exported.items():
        statistic = "running" in key or "num_batches" in key
        assert torch.equal(value, student[key] if statistic else teacher[key])
    assert set(start(name).method.exported()) == set(exported)
