from __future__ import annotations

import shutil

import pytest
from workspaces import Workspace, make_workspace


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return make_workspace(tmp_path)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Workspace:
    """A workspace whose phantoms are prepared and split; copy it before changing it."""
    workspace = make_workspace(tmp_path_factory.mktemp("prepared"))
    workspace.arco("phantom", "acdc")
    workspace.arco("prepare", "acdc")
    return workspace


@pytest.fixture
def ready(prepared, tmp_path) -> Workspace:
    """A copy of `prepared` of this test's own."""
    root = tmp_path / "ready"
    shutil.copytree(prepared.root, root)
    return Workspace(root)
