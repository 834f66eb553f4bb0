"""A preparation that dies is taken up where it was, and a partial download is prepared."""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_scans import SETTINGS, contents, ignore_progress, prepare, write_raw_case

from arco.data import preparation, stages
from arco.data.conversion import convert
from arco.data.manifest import read_manifest
from arco.data.phantoms.la import write_phantoms
from arco.errors import ArcoError

DYING = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from small_scans import SETTINGS, prepare, write_raw_case
from arco.data import preparation
root = Path(sys.argv[1])
cases = [write_raw_case(root / "raw", name) for name in "abcd"]
convert = preparation.convert
def convert_or_die(images, label, settings):
    if label.name.startswith("c"):
        (root / "out" / "images" / f".{{os.getpid()}}.c.npy").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    return convert(images, label, settings)
preparation.convert = convert_or_die
prepare(cases, root)
"""


def test_a_killed_preparation_resumes_without_redoing_finished_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", DYING, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    out = tmp_path / "out"
    assert sorted(path.name for path in (out / "cases").iterdir()) == ["a.json", "b.json"]
    assert not (out / "manifest.json").exists()
    finished = {name: (out / name).stat().st_mtime_ns for name in contents(out) if "/." not in name}
    converted = []

    def counting(images: Any, label: Path, settings: Any) -> Any:
        converted.append(label.name[0])
        return convert(images, label, settings)

    monkeypatch.setattr(preparation, "convert", counting)
    cases = [write_raw_case(tmp_path / "raw", name) for name in "abcd"]
    manifest = prepare(cases, tmp_path, SETTINGS)
    assert converted == ["c", "d"]
    assert list(manifest.cases) == ["a", "b", "c", "d"]
    assert not [name for name in contents(out) if "/." in name]
    for name, time in finished.items():
        assert (out / name).stat().st_mtime_ns == time


def job(tmp_path: Path, **changes: object) -> dict[str, Any]:
    """Preparing the left atrium, cropped to its middle."""
    settings = {
        "version": 1,
        "dataset": "la",
        "layout": "la",
        "source": "raw",
        "subsets": ["training"],
        "classes": [["background", 0], ["atrium", 255]],
        "spatial_axes": 3,
        "spacing_mm": None,
        "intensity_window": None,
        "crop": {"region": "center", "size_mm": [None, 120.0, 120.0], "margin_mm": [0, 0, 0]},
    }
    return {"settings": {**settings, **changes}, "out": str(tmp_path / "out")}


def test_a_partial_download_is_prepared_and_says_how_partial_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_phantoms(tmp_path / "la", 3, 0)
    gone = sorted((tmp_path / "la").rglob("laendo.nrrd"))[1]
    gone.unlink()
    with caplog.at_level(logging.WARNING):
        stages.prepare(job(tmp_path), tmp_path / "la", workers=1, report=ignore_progress)
    (said,) = caplog.messages
    assert "preparing 2 of 100 cases of the complete download, missing: 1 file (" in said
    assert str(gone.relative_to(tmp_path / "la")) in said
    manifest = read_manifest(tmp_path / "out")
    assert len(manifest.cases) == 2
    for record in manifest.cases.values():
        assert record.shape[2:] == (80, 80)
        assert record.notes == ()  # no atrium is cut
    split = {"train": 80, "val": 0, "test": 20, "seed": 0}
    parts = {
        "settings": {"version": 1, "dataset": "la", "split": split},
        "prepared": str(tmp_path / "out"),
        "user_lists": str(tmp_path / "splits/la"),
    }
    with pytest.raises(ArcoError, match=r"datasets\.la\.split asks for 80 train .* only 2 are"):
        stages.split(parts)


def test_phantoms_are_never_called_partial(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_phantoms(tmp_path / "la", 1, 0)
    with caplog.at_level(logging.WARNING):
        stages.prepare(
            job(tmp_path, source="phantom"), tmp_path / "la", workers=1, report=ignore_progress
        )
    assert not caplog.messages
    shutil.rmtree(tmp_path / "la")
    with pytest.raises(ArcoError, match=r"set datasets\.la\.root in params\.yaml"):
        stages.prepare(job(tmp_path), tmp_path / "la", workers=1, report=ignore_progress)
