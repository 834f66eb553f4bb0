from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from arco import files
from arco.errors import ArcoError


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.json"
    files.write_json(target, {"old": 1})
    with pytest.raises(ZeroDivisionError), files.atomic(target) as temporary:
        temporary.write_text("half", encoding="utf-8")
        _ = 1 / 0
    assert files.read_json(target) == {"old": 1}
    assert leftovers(tmp_path) == ["a.json"]


def test_the_temporary_name_keeps_every_suffix(tmp_path):
    with files.atomic(tmp_path / "scan.nii.gz") as temporary:
        assert temporary.name.endswith("scan.nii.gz")
        temporary.write_bytes(b"x")
    assert leftovers(tmp_path) == ["scan.nii.gz"]


def test_a_directory_replaces_a_directory(tmp_path):
    target = tmp_path / "predictions"
    for name in ("first", "second"):
        with files.atomic(target) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert leftovers(target) == ["second"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_disk_is_told_in_a_sentence(tmp_path, monkeypatch, code):
    def refuse(self, *arguments, **keywords):
        raise OSError(code, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(ArcoError, match=r"cannot write .*out\.json.*free some space"):
        files.write_json(tmp_path / "out.json", {})
    assert leftovers(tmp_path) == []


def test_a_full_disk_is_told_even_when_the_error_names_no_file(tmp_path):
    with pytest.raises(ArcoError, match="cannot write"), files.atomic(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_missing_file_read_inside_the_block_is_not_called_a_failed_write(tmp_path):
    with pytest.raises(FileNotFoundError), files.atomic(tmp_path / "out" / "x"):
        (tmp_path / "elsewhere").read_text(encoding="utf-8")


def test_arrays_come_back_memory_mapped_and_equal(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    files.write_array(tmp_path / "a.npy", array)
    loaded = files.read_array(tmp_path / "a.npy")
    assert isinstance(loaded, np.memmap)
    np.testing.assert_array_equal(loaded, array)


def test_arrays_that_could_execute_code_are_refused(tmp_path):
    with (tmp_path / "evil.npy").open("wb") as stream:
        np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ArcoError, match=r"evil\.npy is damaged"):
        files.read_array(tmp_path / "evil.npy")


def test_a_truncated_array_is_told_in_a_sentence(tmp_path):
    files.write_array(tmp_path / "a.npy", np.zeros(1000))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:500])
    with pytest.raises(ArcoError, match=r"a\.npy is damaged"):
        files.read_array(tmp_path / "a.npy")


def test_json_that_is_missing_or_broken_is_told_in_a_sentence(tmp_path):
    with pytest.raises(ArcoError, match="is missing"):
        files.read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(ArcoError, match="not valid JSON"):
        files.read_json(tmp_path / "bad.json")


def test_csv_has_plain_line_ends_and_keeps_nan(tmp_path):
    files.write_csv(tmp_path / "a.csv", [{"x": 0.1, "y": float("nan")}], ["x", "y"])
    assert (tmp_path / "a.csv").read_bytes() == b"x,y\n0.1,nan\n"


def test_a_file_where_a_folder_should_be_is_told_in_a_sentence(tmp_path):
    (tmp_path / "results").write_text("", encoding="utf-8")
    with pytest.raises(ArcoError, match=r"cannot write .*out\.json"):
        files.write_json(tmp_path / "results" / "out.json", {})
