from __future__ import annotations

import torch
from small_frameworks import make_batch, start
from torch import nn

from arco.contracts import Progress


def test_the_loss_is_nt_xent_over_both_views() -> None:
    method = start("simclr").method
    embedded = []
    method.student.register_forward_hook(lambda _module, _images, out: embedded.append(out[1]))
    output = method.step(make_batch("simclr", 0), Progress(0, 50, 10))
    (views,) = embedded  # both views pass the network in one batch
    assert len(views) == 16
    cosines = nn.functional.cosine_similarity(views[:, None], views[None], dim=2) / 0.5
    cosines.fill_diagonal_(-torch.inf)
    partners = torch.arange(16).roll(8)
    expected = -cosines.log_softmax(1)[torch.arange(16), partners].mean()
    torch.testing.assert_close(output.loss, expected)


def test_the_head_has_batch_norm_after_both_layers() -> None:
    layers = list(start("simclr").method.student.head.layers)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d]
    assert [type(layer) for layer in layers] == kinds
