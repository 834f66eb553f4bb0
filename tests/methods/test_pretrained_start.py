"""Where a run has pretrained weights, its student and its teacher start from them."""

from __future__ import annotations

import pytest
import torch
from small_methods import start

from arco import registry
from arco.models.backbone import Backbone
from arco.models.teacher import Teacher


@pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"])
@pytest.mark.parametrize("name", registry.names("methods"))
def test_student_and_teacher_start_from_pretrained_weights_and_a_peer_does_not(name, axes):
    state = start("supervised", seed=5, axes=axes).method.exported()
    method = start(name, axes=axes, pretrained=state).method
    teachers = [m.module for m in method.modules() if isinstance(m, Teacher)]
    for network in [method.student, *(m for m in teachers if isinstance(m, Backbone))]:
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    if hasattr(method, "peer"):  # two equal networks would have nothing to tell each other
        assert not torch.equal(method.peer.classifier.state_dict().popitem()[1], state.popitem()[1])
