from __future__ import annotations

import pytest
import torch

from arco.models.normalization import kept_statistics
from arco.models.unet import UNet
from arco.models.vnet import VNet


def statistics(network):
    return {name: value.clone() for name, value in network.named_buffers() if "running" in name}


@pytest.mark.parametrize("axes", [2, 3])
def test_statistics_stay_inside_and_move_again_outside(axes):
    network = (
        UNet(1, 2, (2, 3, 4, 5, 6), (0.0,) * 5) if axes == 2 else VNet(1, 2, (2, 3, 4, 5, 6), 0.0)
    )
    images = torch.randn(2, 1, *(16, 32, 16)[:axes])
    before = statistics(network)
    with kept_statistics(network):
        inside = network(images)
    assert all(torch.equal(value, before[name]) for name, value in statistics(network).items())
    outside = network(images)
    assert torch.equal(inside, outside)
    assert any(not torch.equal(value, before[name]) for name, value in statistics(network).items())


def test_momenta_come_back_after_an_error():
    network = UNet(1, 2, (2, 3, 4, 5, 6))
    momenta = [m.momentum for m in network.modules() if hasattr(m, "momentum")]
    with pytest.raises(ZeroDivisionError), kept_statistics(network):
        raise ZeroDivisionError
    assert [m.momentum for m in network.modules() if hasattr(m, "momentum")] == momenta
    assert set(momenta) == {0.1}
