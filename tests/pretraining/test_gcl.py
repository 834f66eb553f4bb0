from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_frameworks import make_batch, start

from arco.contracts import Progress
from arco.errors import ArcoError
from arco.pretraining.gcl import slabs_of

FIRST = Progress(0, 50, 10)


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


def test_the_second_stage_sees_no_dropout_and_changes_intensities_alone():
    training = start("gcl")
    seen = []
    training.method.network.encoder.register_forward_pre_hook(
        lambda module, inputs: seen.append((module.training, inputs[0]))
    )
    batch = make_batch("gcl", 0)
    training.method.step(batch, Progress(40, 50, 10))
    ((training_mode, versions),) = seen
    assert not training_mode
    first, second = versions.chunk(2)
    assert not torch.equal(first, second)
    # The brightest place stays where it is in most images: nothing was moved.
    places = [maps.flatten(1).argmax(1) for maps in (first, batch.images)]
    assert (places[0] == places[1]).float().mean() > 0.4


def test_images_of_one_block_alone_are_explained():
    batch = make_batch("gcl", 0)
    flat = replace(batch, heights=torch.zeros_like(batch.heights))
    with pytest.raises(ArcoError, match=r"pretraining\.gcl needs images of several blocks"):
        start("gcl").method.step(flat, FIRST)


def test_volumes_give_a_slab_of_every_block():
    method = start("gcl", axes=3).method
    batch = make_batch("gcl", 0, unlabeled=2, axes=3)
    deep = torch.cat([batch.images + 10 * k for k in range(4)], dim=2)
    images, blocks = method._in_blocks(replace(batch, images=deep))
    assert images.shape[0] == 8 and images.shape[2] == 16
    assert blocks.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    torch.testing.assert_close(images[4:6], batch.images + 20)


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
