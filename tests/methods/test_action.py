from __future__ import annotations

import torch
from small_methods import make_batch, start

from arco.contracts import Progress

FIRST = Progress(0, 50, 10)


def test_terms_are_weighted():
    settings = {"contrast_weight": 0.5, "unsupervised_weight": 2.0, "strong_threshold": 0.4}
    output = start("action", **settings).method.step(make_batch(0), FIRST)
    logs = output.logs
    expected = logs["supervised"] + 0.5 * logs["contrast"] + 2 * logs["unsupervised"]
    torch.testing.assert_close(output.loss.detach(), expected)
    assert logs["contrast"] > 0 and logs["unsupervised"] > 0


def test_the_student_sees_mixed_unlabeled_images():
    training = start("action")
    seen = []
    training.method.student.encoder.register_forward_pre_hook(lambda _, i: seen.append(i[0]))
    batch = make_batch(0)
    training.method.step(batch, FIRST)
    (images,) = seen
    assert torch.equal(images[:2], batch.labeled)
    first, second = batch.unlabeled
    for mixed, own, other in ((images[2], first, second), (images[3], second, first)):
        kept, pasted = mixed == own, mixed == other
        assert (kept | pasted).all() and kept.any() and pasted.any()


def test_keys_are_the_student_s_and_get_no_gradient():
    """Neither the teacher's features nor its head take part."""
    losses = []
    for spoiled in (False, True):
        training = start("action", weak_threshold=0.0)
        method = training.method
        if spoiled:
            for weight in method.contrast.teacher_head.parameters():
                weight.data.fill_(7.0)
        losses.append(method.step(make_batch(0), FIRST).logs["contrast"])
    assert torch.equal(*losses)
    assert method.contrast.class_quotas
