from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import write_dataset


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """The prepared dataset of `small_runs.write_dataset`, for reading."""
    folder = tmp_path_factory.mktemp("tiny")
    write_dataset(folder)
    return folder
