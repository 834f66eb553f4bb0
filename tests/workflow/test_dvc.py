"""The real DVC around the real workflow."""

from __future__ import annotations

import pytest

from arco import files, trees

pytestmark = pytest.mark.workflow

STAGE_COMMAND = "snakemake results/tables/small.csv --configfile small.yaml --cores 2"


@pytest.fixture
def tracked(workspace):
    """A git and DVC repository whose stage makes the small table."""
    from test_snakemake import with_small_table

    with_small_table(workspace)
    path = workspace.root / "dvc.yaml"
    text = files.read_text(path)
    command = next(line for line in text.splitlines() if "cmd:" in line)
    text = text.replace(command, f"    cmd: {STAGE_COMMAND}")
    text = text.replace("      - src/arco\n", "").replace(
        "      - results/figures: {persist: true}\n", ""
    )
    files.write_text(path, text)
    for command in (
        ("git", "init", "-q", "."),
        ("git", "config", "user.email", "test@example.org"),
        ("git", "config", "user.name", "test"),
        ("git", "add", "-A"),
        ("git", "commit", "-qm", "start"),
        ("dvc", "init", "-q"),
        ("dvc", "config", "core.analytics", "false"),
    ):
        workspace.run(*command)
    return workspace


def test_repro_makes_the_table_then_has_nothing_to_do_and_a_clone_needs_no_run(tracked, tmp_path):
    tracked.run("dvc", "repro", "-q")
    assert (tracked.root / "results/tables/small.csv").exists()
    assert "up to date" in tracked.run("dvc", "repro").stdout.lower()

    tracked.run("dvc", "remote", "add", "-d", "-q", "store", str(tmp_path / "store"))
    tracked.run("git", "add", "-A")
    tracked.run("git", "commit", "-qm", "results")
    tracked.run("dvc", "push", "-q")
    clone = type(tracked)(tmp_path / "clone")
    tracked.run("git", "clone", "-q", str(tracked.root), str(clone.root))
    clone.run("dvc", "pull", "-q")
    table = clone.root / "results/tables/small.csv"
    assert table.read_bytes() == (tracked.root / "results/tables/small.csv").read_bytes()
    done = clone.snakemake("--dry-run", "results/tables/small.csv", "--configfile", "small.yaml")
    assert "Nothing to be done" in done.stdout + done.stderr


def test_the_stage_in_the_repository_reads_sections_that_exist(repository):

    stage = trees.read_yaml(repository / "dvc.yaml")["stages"]["reproduce"]
    sections = set(trees.read_yaml(repository / "params.yaml"))
    assert set(stage["params"]) == sections - {"paths", "runtime"}
