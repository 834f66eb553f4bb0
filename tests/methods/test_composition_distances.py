"""DTC, DAN and SASSNet: distances, verdicts, and what the critic learns, by hand."""

from __future__ import annotations

import pytest
import torch
from by_hand import dice, log_probs, probs, signed_distances, squares, supervised
from hearing import LABELED, LATE, TRAINED, awake, compare, hear, uneven_batch

AXES = pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"])
CRITIC = "adversary.discriminator"
NETWORKS = {"dan": "student", "sassnet": "tasks.network"}


def step(name, axes):
    return hear(awake(name, axes), uneven_batch(name, axes))


def both_tasks(heard):
    """Logits and distances of the one pass, whose two heads read the same map."""
    (only,) = heard.passes("tasks.network")
    assert torch.equal(only.images, heard.batch.images)
    assert only.mode == TRAINED
    (distance_head,) = heard.calls["tasks.distance_head"]
    (classifier,) = heard.last("tasks.network.classifier")
    assert torch.equal(distance_head.inputs[0], classifier.inputs[0])
    return only.logits, distance_head.output.tanh()


def of_labels(logits, distances, batch):
    """Dice and 0.7 times the mean squared error of the distances."""
    targets = signed_distances(batch.labels, 3)
    assert targets.min() < -0.5 and (targets[1, 1] == 1).all()  # the second image lacks class 2
    errors = squares(distances[:LABELED], targets, batch.labels >= 0)
    return dice(logits[:LABELED], batch.labels) + 0.7 * errors


def verdict(heard, maps):
    """The critic's cross-entropy of calling unlabeled images labeled; it must see these maps."""
    (judged,) = heard.calls[CRITIC]
    assert torch.equal(judged.inputs[1], heard.batch.unlabeled)
    torch.testing.assert_close(judged.inputs[0], maps[LABELED:])
    assert not judged.training
    return -log_probs(judged.output)[:, 1].mean()


@AXES
def test_dtc(axes):
    heard = step("dtc", axes)
    logits, distances = both_tasks(heard)
    masks = 1 / (1 + (5 * distances).exp())
    compare(
        heard,
        {
            "supervised": (1, of_labels(logits, distances, heard.batch)),
            "consistency": (
                heard.weight(),
                squares(masks, probs(logits)[:, 1:], heard.batch.frame),
            ),
        },
    )


@AXES
def test_dan(axes):
    heard = step("dan", axes)
    (only,) = heard.passes("student")
    assert torch.equal(only.images, heard.batch.images)
    assert only.mode == TRAINED
    compare(
        heard,
        {
            "supervised": (1, supervised(only.logits[:LABELED], heard.batch.labels)),
            "adversarial": (heard.weight(), verdict(heard, probs(only.logits))),
        },
    )


@AXES
def test_sassnet(axes):
    heard = step("sassnet", axes)
    logits, distances = both_tasks(heard)
    compare(
        heard,
        {
            "supervised": (1, of_labels(logits, distances, heard.batch)),
            "adversarial": (heard.weight(), verdict(heard, distances)),
        },
    )


@pytest.mark.parametrize("name", NETWORKS)
@AXES
def test_the_critic_takes_two_steps_of_adam(name, axes):
    """After the update, on answers of the new network in evaluation mode, as in SSL4MIS."""
    method, twin = awake(name, axes), awake(name, axes)
    first, second = (torch.zeros(()) for _ in range(2))
    for count in (1, 2):
        heard = hear(method, uneven_batch(name, axes, seed=count))
        with torch.no_grad():  # as the optimizer would: the critic must see the new network
            for weight in method.student.parameters():
                weight *= 1.1
        twin.load_state_dict(method.state_dict())
        dropped = torch.get_rng_state()
        method.after_update(LATE)
        same = zip(*(m.student.state_dict().values() for m in (method, twin)), strict=True)
        assert all(torch.equal(own, before) for own, before in same)
        seen, judged = heard.passes(NETWORKS[name])[-1], heard.calls[CRITIC][-1]
        assert torch.equal(seen.images, heard.batch.images)
        assert seen.mode == "eval none"
        maps = judged_maps(name, twin.eval(), heard.batch.images)
        torch.testing.assert_close(judged.inputs[0], maps)
        assert torch.equal(judged.inputs[1], heard.batch.images)
        assert judged.training
        torch.set_rng_state(dropped)
        gradient = of_truth(twin.adversary.discriminator, maps, heard.batch.images)
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        mean, scale = first / (1 - 0.9**count), (second / (1 - 0.99**count)).sqrt() + 1e-8
        moved = flat(method.adversary.discriminator) - flat(twin.adversary.discriminator)
        torch.testing.assert_close(moved, -1e-4 * mean / scale, rtol=0.02, atol=2e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_critic_learns_even_where_its_verdict_weighs_nothing(name):
    method = awake(name, 2, weight=0.0)
    before = flat(method.adversary.discriminator)
    method.step(uneven_batch(name, 2), LATE)
    method.after_update(LATE)
    assert not torch.equal(flat(method.adversary.discriminator), before)


@pytest.mark.parametrize("name", ["dtc", "sassnet"])
def test_the_distance_head_is_one_layer_and_not_exported(name):
    method = awake(name, 2)
    own = {key for key in method.state_dict() if key.startswith("tasks.")}
    exported = {f"tasks.network.{key}" for key in method.exported()}
    assert own - exported == {"tasks.distance_head.weight", "tasks.distance_head.bias"}


@torch.no_grad()
def judged_maps(name, method, images):
    """Probabilities of DAN, distances of SASSNet."""
    return probs(method.student(images)) if name == "dan" else method.tasks(images)[1]


def of_truth(critic, maps, images):
    """The gradient of telling labeled images (1) from unlabeled ones (0)."""
    critic.requires_grad_(True).train().zero_grad()
    logs = log_probs(critic(maps, images))
    (-(logs[:LABELED, 1].sum() + logs[LABELED:, 0].sum()) / len(logs)).backward()
    return torch.cat([weight.grad.flatten() for weight in critic.parameters()])


def flat(module):
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])
