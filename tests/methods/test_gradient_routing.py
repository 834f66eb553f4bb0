"""Which parts of a method each term teaches."""

from __future__ import annotations

import pytest
import torch
from hearing import LETTER, SETTINGS, awake, hear, uneven_batch

from arco import registry

NETWORK = "encoder decoder classifier"
BOTH = f"{NETWORK} peer"
TASKS = f"{NETWORK} distance_head"
ROUTES = {
    "supervised": {"supervised": NETWORK},
    "em": {"supervised": NETWORK, "entropy": NETWORK},
    "cct": {"supervised": f"{NETWORK} auxiliary", "consistency": "encoder auxiliary"},
    "dan": {"supervised": NETWORK, "adversarial": NETWORK},
    "urpc": {"supervised": f"{NETWORK} side_heads", "consistency": f"{NETWORK} side_heads"},
    "dtc": {"supervised": TASKS, "consistency": TASKS},
    "dct": {"supervised": BOTH, "agreement": BOTH, "resistance": BOTH},
    "dct_rot": {"supervised": NETWORK, "consistency": NETWORK},
    "ict": {"supervised": NETWORK, "consistency": NETWORK},
    "mt": {"supervised": NETWORK, "consistency": NETWORK},
    "uamt": {"supervised": NETWORK, "consistency": NETWORK},
    "sassnet": {"supervised": TASKS, "adversarial": "encoder decoder distance_head"},
    "cps": {"supervised": BOTH, "crossed": BOTH},
    "mcnet": {
        "supervised": f"{NETWORK} second_decoder",
        "consistency": f"{NETWORK} second_decoder",
    },
    "ssnet": {
        "supervised": NETWORK,
        "smoothness": NETWORK,
        "separation": "encoder decoder projection prediction selectors prototype_selectors",
    },
    "action": {
        "supervised": NETWORK,
        "contrast": "encoder decoder head",
        "unsupervised": NETWORK,
    },
    "arco": {
        "supervised": NETWORK,
        "contrast": "encoder decoder head",
        "unsupervised": NETWORK,
        "neighbor": "encoder decoder head predictor",
        "equivariance": NETWORK,
    },
    "arco_letter": {
        "supervised": NETWORK,
        "contrast": "encoder decoder head",
        "unsupervised": NETWORK,
        "neighbor": "encoder decoder head",
    },
}
OF_SLICES = "equivariance"
"""A term that no volume has."""

GROUPS = "tasks", "network", "student", "separation", "contrast", "neighbors"
"""Names that only say where a part belongs."""


def part(parameter):
    return next(name for name in parameter.split(".") if name not in GROUPS)


def test_every_method_has_its_tests():
    assert set(ROUTES) == set(SETTINGS)
    assert {name.removesuffix(LETTER) for name in ROUTES} == set(registry.names("methods"))


@pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"])
@pytest.mark.parametrize("name", ROUTES)
def test_each_term_teaches_its_parts_and_no_others(name, axes):
    method = awake(name, axes)
    for key, weight in method.named_parameters():
        # A teacher is guarded twice; here by its passes alone.
        assert weight.requires_grad or part(key) in {"teacher", "teacher_head", "adversary"}
        weight.requires_grad_(part(key) != "adversary")
    heard = hear(method, uneven_batch(name, axes))
    trained = {k: p for k, p in method.named_parameters() if p.requires_grad}
    found = {}
    for term, loss in heard.terms.items():
        slopes = torch.autograd.grad(
            loss, list(trained.values()), retain_graph=True, allow_unused=True
        )
        reached = {
            part(key)
            for key, slope in zip(trained, slopes, strict=True)
            if slope is not None and slope.any()
        }
        found[term] = reached
    assert found == {
        term: set(parts.split())
        for term, parts in ROUTES[name].items()
        if axes == 2 or term != OF_SLICES
    }
