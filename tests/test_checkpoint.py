from __future__ import annotations

import fcntl

import pytest
import torch

from arco.checkpoint import Resume, fingerprint

CPU = torch.device("cpu")


@pytest.fixture
def resume(tmp_path):
    made = Resume(tmp_path / "resume", "key")
    with made.locked():
        yield made


def test_a_state_comes_back_as_it_was_saved(resume):
    state = {"step": 3, "tensors": {"a": torch.arange(4)}, "rows": [{"loss": 0.5}]}
    resume.save(state)
    loaded = resume.load(CPU)
    assert torch.equal(loaded.pop("tensors")["a"], torch.arange(4))
    assert loaded == {"step": 3, "rows": [{"loss": 0.5}], "key": "key"}


def test_without_a_state_there_is_nothing_to_continue(resume):
    assert resume.load(CPU) is None


def test_a_state_of_other_settings_is_left_alone(resume, caplog):
    resume.save({"step": 3})
    assert Resume(resume.folder, "other").load(CPU) is None
    assert "another configuration" in caplog.text


@pytest.mark.parametrize("content", [b"", b"garbage" * 20, b"PK\x03\x04half"])
def test_a_damaged_state_starts_from_the_beginning_and_says_so(resume, caplog, content):
    resume.save({"step": 3})
    (resume.folder / "state.pt").write_bytes(content)
    assert resume.load(CPU) is None
    assert "is damaged" in caplog.text


def test_code_in_a_state_is_never_run(resume, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"key": "key", "evil": Evil()}, resume.folder / "state.pt")
    assert resume.load(CPU) is None
    assert not (tmp_path / "ran").exists()


def test_finished_outputs_are_recognised_until_they_or_the_settings_change(resume, tmp_path):
    output = tmp_path / "below" / "weights"
    output.parent.mkdir()
    output.write_bytes(b"1")
    name = "below/weights"
    assert not resume.finished(tmp_path, [name])
    resume.save({"step": 3})
    resume.finish(tmp_path, [name])
    assert resume.finished(tmp_path, [name])
    assert resume.finished(tmp_path, [])
    assert not resume.finished(tmp_path, [name, "below/more"])
    assert resume.load(CPU) is None
    assert not Resume(resume.folder, "other").finished(tmp_path, [name])
    output.write_bytes(b"2")
    assert not resume.finished(tmp_path, [name])
    output.unlink()
    assert not resume.finished(tmp_path, [])


def test_the_lock_keeps_others_out_while_it_is_held(resume):
    with (resume.folder / "lock").open("w") as stream, pytest.raises(BlockingIOError):
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_fingerprint_follows_settings_and_the_bytes_of_inputs(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a")
    first = fingerprint("{}", {"list": path})
    assert fingerprint("{}", {"list": path}) == first
    assert fingerprint("{ }", {"list": path}) != first
    path.write_text("b")
    assert fingerprint("{}", {"list": path}) != first
