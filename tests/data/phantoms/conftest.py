from __future__ import annotations

from pathlib import Path

import pytest
from phantom_sets import find, write

from arco.data.cases import RawCase


@pytest.fixture(scope="module")
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic dataset of the module's LAYOUT, written once for its tests."""
    module = request.module
    out = tmp_path_factory.mktemp("phantoms") / module.LAYOUT
    write(module.LAYOUT, out, module.PATIENTS, module.SEED)
    return out


@pytest.fixture(scope="module")
def cases(request: pytest.FixtureRequest, root: Path) -> list[RawCase]:
    return find(request.module.LAYOUT, root)
