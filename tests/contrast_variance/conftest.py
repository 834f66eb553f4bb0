from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import make_job, run, write_dataset

from arco.training import Job


@pytest.fixture(scope="session")
def measurable(tmp_path_factory) -> Job:
    """A finished run of ARCO with snapshots after 2 and 6 of its 6 steps, for reading."""
    folder = tmp_path_factory.mktemp("measurable")
    write_dataset(folder / "prepared")
    job = make_job(
        folder / "prepared",
        folder / "run",
        method="arco",
        training={"snapshots": [0.34, 1.0]},
    )
    run(job)
    return job


@pytest.fixture
def tiny(measurable) -> Path:
    """The prepared dataset behind it."""
    return measurable.prepared
