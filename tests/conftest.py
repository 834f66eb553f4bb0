"""Fixtures that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before anything imports torch: tensors are small, and tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--renew-golden`: see tests/golden."""
    parser.addoption("--renew-golden", action="store_true", help="write down the golden numbers")


@pytest.fixture
def repository() -> Path:
    """The root of the checkout: params.yaml, Snakefile, workflow/."""
    return REPOSITORY


@pytest.fixture(scope="session")
def hippocampus() -> Path:
    """Real MR cases in the Decathlon layout, where this machine has them."""
    root = REPOSITORY.parent / "shared" / "data" / "Task04_Hippocampus"
    if not root.exists():
        pytest.skip("the Decathlon's Task04_Hippocampus is not on this machine")
    return root
