"""What every command does with mistakes; the commands themselves are run in tests/workflow."""

from __future__ import annotations

import pytest

from arco import cli
from arco.errors import ArcoError


def run(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    def fail(options: object) -> None:
        raise error

    monkeypatch.setattr(cli, "run_doctor", fail)
    return cli.main(["doctor"])


def test_a_user_s_mistake_is_one_sentence(monkeypatch, capsys):
    assert run(ArcoError("a.nii is damaged; restore it"), monkeypatch) == 1
    assert capsys.readouterr().err == "arco doctor: a.nii is damaged; restore it\n"


def test_a_file_that_may_not_be_read_is_one_sentence_that_names_it(monkeypatch, capsys):
    assert run(PermissionError(13, "Permission denied", "raw/a.nii"), monkeypatch) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "arco doctor: raw/a.nii: permission denied; check that the disk is there"
    )
    assert said.count("\n") == 1


def test_an_error_that_names_no_file_is_shown_in_full(monkeypatch):
    with pytest.raises(OSError, match="no child"):
        run(OSError("no child"), monkeypatch)
