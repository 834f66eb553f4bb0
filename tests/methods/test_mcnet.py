from __future__ import annotations

import pytest
import torch
from small_methods import start

from arco.losses.segmentation import dice_loss


def test_the_decoders_differ_in_how_they_climb():
    method = start("mcnet").method
    assert method.second_decoder.decoder.blocks[0].upsampling == "transposed"
    assert method.student.decoder.blocks[0].upsampling == "linear"
    volumes = start("mcnet", axes=3).method
    assert volumes.second_decoder.decoder.climbs[0].upsampling == "linear"
    assert volumes.student.decoder.climbs[0].upsampling == "transposed"


def test_plain_dice_of_the_foreground_by_hand():
    probs = torch.tensor([[0.8, 0.1], [0.2, 0.9]]).view(1, 2, 1, 2)
    labels = torch.tensor([[[0, 1]]])
    plain = dice_loss(probs.log(), labels, squared=False, background=False)
    assert plain.item() == pytest.approx(0.1429, abs=1e-4)
    squared = dice_loss(probs.log(), labels, background=False)
    assert squared.item() == pytest.approx(0.0270, abs=1e-4)
