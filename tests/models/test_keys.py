from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from arco.models import keys
from arco.models.head import RepresentationHead
from arco.models.keys import KeyField

PLANE = ((2, 3), (4, 6), (9, 12), (18, 25), (36, 50))
VOLUME = ((3, 5, 4), (6, 10, 8), (12, 20, 15), (12, 20, 15))
VNET = ((1, 2, 3), (2, 4, 6), (4, 8, 12), (8, 16, 24), (8, 16, 24))
FLAT = ((3, 5), (5, 7))
CHANNELS = (7, 6, 5, 4, 3)


def make(sizes, dtype=torch.float64) -> tuple[RepresentationHead, list[Tensor]]:
    torch.manual_seed(0)
    channels = CHANNELS[: len(sizes)]
    head = RepresentationHead(channels, 9).to(dtype)
    features = [
        torch.randn(2, count, *size, dtype=dtype, requires_grad=True)
        for count, size in zip(channels, sizes, strict=True)
    ]
    return head, features


def drawn(sizes, queries: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(2 * torch.Size(sizes[-1]).numel(), (queries, 11), generator=generator)


def gathered(head, features, queries: Tensor, pixels: Tensor, *, cosine: bool) -> Tensor:
    """The obvious way: dense representations, one gathered vector per query and key."""
    vectors = head.dense(features).detach().movedim(1, -1).flatten(0, -2)[pixels]
    if cosine:
        return functional.cosine_similarity(queries[:, None], vectors, dim=-1)
    return (queries[:, None] * vectors).sum(dim=-1)


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("sizes", [PLANE, VOLUME, VNET, FLAT])
def test_similarities_equal_those_of_gathered_representations(sizes, cosine, monkeypatch):
    monkeypatch.setattr(keys, "QUERY_BLOCK", 4)
    head, features = make(sizes)
    queries = torch.randn(10, 9, dtype=torch.float64, requires_grad=True)
    pixels = drawn(sizes, 10)
    pixels[3, :2] = pixels[3, 2]
    fast = KeyField(head.over(features), cosine=cosine).similarity(queries, pixels)
    slow = gathered(head, features, queries, pixels, cosine=cosine)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)
    weights = torch.linspace(-1, 2, fast.numel(), dtype=torch.float64).view_as(fast)
    torch.testing.assert_close(
        torch.autograd.grad((fast * weights).sum(), queries),
        torch.autograd.grad((slow * weights).sum(), queries),
        rtol=0,
        atol=1e-10,
    )


def test_no_gradient_reaches_the_keys():
    head, features = make(PLANE)
    queries = torch.randn(3, 9, dtype=torch.float64, requires_grad=True)
    KeyField(head.over(features)).similarity(queries, drawn(PLANE, 3)).sum().backward()
    assert queries.grad is not None
    assert all(leaf.grad is None for leaf in [*features, *head.parameters()])


def test_single_precision_keeps_six_digits():
    head, features = make(PLANE, torch.float32)
    queries, pixels = torch.randn(50, 9), drawn(PLANE, 50)
    fast = KeyField(head.over(features)).similarity(queries, pixels)
    slow = gathered(head, features, queries, pixels, cosine=True)
    torch.testing.assert_close(fast, slow, rtol=0, atol=5e-6)


def test_a_key_of_length_zero_gives_similarity_zero():
    head, features = make(PLANE)
    with torch.no_grad():
        for maps in features:
            maps[0] = 0
    similarity = KeyField(head.over(features)).similarity(
        torch.ones(1, 9, dtype=torch.float64), torch.tensor([[0, 7]])
    )
    assert similarity.tolist() == [[0, 0]]
