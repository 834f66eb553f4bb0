from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from framework_watch import PLAIN, SOLARIZED, marked_images, read_marks, settle, watch
from slow_contrasts import assert_same_loss, mean, pair_loss
from small_frameworks import make_batch, start

from arco.contracts import Batch, Progress
from arco.errors import ArcoError
from arco.pretraining.gcl import slabs_of

FIRST, SECOND = Progress(0, 50, 10), Progress(40, 50, 10)
DEEP = (32, 16, 32)
SLABS = [slice(start, start + 16) for start in (0, 5, 11, 16)]
HEIGHTS = [0.0, 0.3, 0.55, 0.8, 0.9, 0.1, 0.6, 0.3]


def marked(axes: int) -> tuple[Batch, torch.Tensor, list[int]]:
    """A batch, the images that it shall be cut into, and their blocks.

    Eight slices at heights without order; or two volumes, of which each gives all four blocks.
    """
    batch = make_batch("gcl", 0, axes=axes)
    if axes == 2:
        images = marked_images(8, 2)
        heights = torch.tensor(HEIGHTS)
        return replace(batch, images=images, heights=heights), images, [0, 1, 2, 3, 3, 0, 2, 1]
    images = marked_images(2, 3, DEEP)
    cut = torch.cat([images[:, :, slab] for slab in SLABS])
    return replace(batch, images=images), cut, [0, 0, 1, 1, 2, 2, 3, 3]


def slow_blocks(embeddings, augmented, blocks):
    """Mean over the pairs of a block, in both directions; negatives are of other blocks."""
    terms = []
    for one, other in itertools.product(range(len(blocks)), repeat=2):
        if blocks[one] != blocks[other]:
            continue
        far = [index for index, block in enumerate(blocks) if block != blocks[one]]
        negatives = [kind[index] for kind in (embeddings, augmented) for index in far]
        if one == other:
            pairs = [(embeddings[one], augmented[one]), (augmented[one], embeddings[one])]
        else:
            pairs = [(kind[one], kind[other]) for kind in (embeddings, augmented)]
        terms += [pair_loss(*pair, negatives, 0.3) for pair in pairs]
    assert len(terms) == 4 * len(blocks)  # the divisor of the authors' code: two images a block
    return mean(terms)


@pytest.mark.parametrize("axes", [2, 3])
def test_images_and_copies_of_a_block_are_alike_and_unlike_those_of_others(axes: int) -> None:
    method = start("gcl", axes=axes, temperature=0.3).method
    batch, _, blocks = marked(axes)
    encoders, heads = watch(method.network.encoder), watch(method.global_head)
    output = method.step(batch, FIRST)
    torch.autograd.backward(output.loss)
    (encoder,), (head,) = encoders, heads
    pooled = encoder.gave[-1].detach().numpy().mean(axis=tuple(range(2, 2 + axes)))
    np.testing.assert_allclose(head.shown.detach().numpy(), pooled, rtol=1e-5, atol=1e-7)

    def definition(both, order=tuple(blocks)):
        return slow_blocks(*both.chunk(2), order)

    assert_same_loss(output.loss, definition, head.gave)
    assert output.logs["global"] == output.loss and output.logs["local"] == 0
    wide = head.gave.detach().double()
    wrong_blocks = definition(wide, blocks[1:] + blocks[:1])
    images, copies = wide.chunk(2)
    wrong_copies = definition(torch.cat([images, copies.roll(1, 0)]))
    for wrong in (wrong_blocks, wrong_copies):
        assert abs(wrong.item() - output.loss.item()) > 1e-3


@pytest.mark.parametrize("axes", [2, 3])
def test_the_first_stage_shows_the_images_as_they_come_and_a_view_of_each(axes: int) -> None:
    method = start("gcl", axes=axes, view=SOLARIZED | {"flip": 1.0}).method
    batch, images, _ = marked(axes)
    encoders = watch(method.network.encoder)
    method.step(batch, FIRST)
    shown, copies = encoders[0].shown.chunk(2)
    assert torch.equal(shown, images)
    originals, marks = (read_marks(half, len(batch.images)) for half in (shown, copies))
    assert marks.images == originals.images
    assert marks.solarized and marks.mirrored


def cut_by_hand(maps):
    """Regions 3 wide of [B, *S, C], the lattice and the quarter points: [B, R, 3 ** axes * C]."""
    size = maps.shape[1:-1]
    shares = [
        place
        for steps in ((0.0, 0.5, 1.0), (0.25, 0.75))
        for place in itertools.product(steps, repeat=len(size))
    ]
    regions = []
    for place in shares:
        starts = [round(share * (length - 3)) for share, length in zip(place, size, strict=True)]
        where = (slice(None), *[slice(first, first + 3) for first in starts])
        regions.append(maps[where].flatten(1))
    return torch.stack(regions, dim=1), shares


def slow_regions(first, second, shares):
    """Mean over images, regions and directions; the five nearest lattice regions are negatives."""
    lattice = [region for region, place in enumerate(shares) if not {0.25, 0.75} & set(place)]
    terms = []
    for one, other in ((first, second), (second, first)):
        for image, region in itertools.product(range(len(first)), range(len(shares))):
            others = [near for near in lattice if near != region]
            nearest = sorted(
                others,
                key=lambda near, region=region: round(
                    np.linalg.norm(np.subtract(shares[near], shares[region])), 6
                ),
            )[:5]
            negatives = [version[image, near] for version in (one, other) for near in nearest]
            terms.append(pair_loss(one[image, region], other[image, region], negatives, 0.3))
    return mean(terms)


@pytest.mark.parametrize("axes", [2, 3])
def test_a_region_is_alike_in_both_versions_and_unlike_its_neighbors(axes: int) -> None:
    training = start("gcl", axes=axes, temperature=0.3)
    settle(training)
    method = training.method
    batch = make_batch("gcl", 5, unlabeled=1 if axes == 3 else 2, axes=axes)
    if axes == 3:
        batch = replace(batch, images=torch.nn.functional.interpolate(batch.images, DEEP))
    encoders, decoders = watch(method.network.encoder), watch(method.network.decoder)
    locals_, heads = watch(method.local_head), watch(method.region_head)
    output = method.step(batch, SECOND)
    torch.autograd.backward(output.loss)
    (encoder,), (decoder,), (local,), (head,) = encoders, decoders, locals_, heads
    half = tuple(length // 2 for length in encoder.shown.shape[2:])
    (maps,) = [maps for maps in decoder.gave if tuple(maps.shape[2:]) == half]
    assert torch.equal(local.shown, maps.movedim(1, -1))
    regions, shares = cut_by_hand(local.gave)
    assert torch.equal(head.shown, regions)

    def definition(both, turned=0):
        first, second = both.chunk(2)
        return slow_regions(first, second.roll(turned, 1), shares)

    assert_same_loss(output.loss, definition, head.gave)
    assert output.logs["local"] == output.loss and output.logs["global"] == 0
    wide = head.gave.detach().double()
    wrong_regions = definition(wide, turned=1)
    first, second = wide.chunk(2)
    wrong_images = definition(torch.cat([first, second.roll(1, 0)]))
    for wrong in (wrong_regions, wrong_images):
        assert abs(wrong.item() - output.loss.item()) > 1e-3


@pytest.mark.parametrize("axes", [2, 3])
def test_the_second_stage_changes_intensities_alone_and_sees_no_dropout(axes: int) -> None:
    """Each version is brightness and contrast of its image: a linear function of it."""
    view = PLAIN | {"crop_min": 0.1, "flip": 1.0, "jitter": 1.0, "strength": 0.02}
    method = start("gcl", axes=axes, view=view, dropout=0.5).method
    batch, images, _ = marked(axes)
    encoders = watch(method.network.encoder)
    method.step(batch, SECOND)
    (encoder,) = encoders
    assert not encoder.training and not encoder.differentiated
    count = len(images)
    rows = torch.cat([encoder.shown, images]).flatten(1).double()
    alike = torch.corrcoef(rows)[: 2 * count, 2 * count :]
    assert torch.equal(alike.argmax(1), torch.arange(2 * count) % count)
    assert alike.amax(1).min() > 1 - 1e-6
    levels = rows.mean(1).view(3, count)
    for one, other in itertools.combinations(levels, 2):
        assert (one != other).all()


@pytest.mark.parametrize("axes", [2, 3])
def test_the_second_stage_draws_intensities_by_the_view(axes: int) -> None:
    method = start("gcl", axes=axes, view=SOLARIZED).method
    batch, images, _ = marked(axes)
    encoders = watch(method.network.encoder)
    method.step(batch, SECOND)
    torch.testing.assert_close(encoders[0].shown, 1 - torch.cat([images, images]))


def changed(before, after):
    return {key for key in before if not torch.equal(before[key], after[key])}


@pytest.mark.parametrize("axes", [2, 3])
def test_the_second_stage_leaves_the_encoder_bit_by_bit(axes):
    training = start("gcl", axes=axes, dropout=0.2)
    method = training.method
    states = []
    for first, steps in ((0, 2), (25, 3)):
        training.taken = first
        before = {key: value.clone() for key, value in method.state_dict().items()}
        training.take(steps)
        states.append(changed(before, method.state_dict()))
    of_encoder, of_decoder = states
    assert any(key.startswith("network.encoder") for key in of_encoder)
    assert not [key for key in of_encoder if not key.startswith(("network.encoder", "global_head"))]
    assert any(key.startswith("network.decoder") for key in of_decoder)
    assert any(key.startswith("local_head") for key in of_decoder)
    assert "region_head.weight" in of_decoder
    assert not [key for key in of_decoder if key.startswith(("network.encoder", "global_head"))]
    assert method.network.encoder.training


def test_images_of_one_block_alone_are_explained():
    batch = make_batch("gcl", 0)
    flat = replace(batch, heights=torch.zeros_like(batch.heights))
    with pytest.raises(ArcoError, match=r"pretraining\.gcl needs images of several blocks"):
        start("gcl").method.step(flat, FIRST)


@pytest.mark.parametrize(
    ("depth", "starts", "thick"),
    [
        (80, [0, 21, 43, 64], 16),
        (32, [0, 5, 11, 16], 16),
        (16, [0, 0, 0, 0], 16),
        (128, [0, 32, 64, 96], 32),
    ],
)
def test_slabs_are_spread_evenly_and_fit_the_network(depth, starts, thick):
    slabs = slabs_of(depth, 4)
    assert [slab.start for slab in slabs] == starts
    assert {slab.stop - slab.start for slab in slabs} == {thick}
