from __future__ import annotations

import json
import subprocess
import sys

import pytest

import arco
from arco.provenance import HOOK_VARIABLES, conditions, provenance

REPORT = {
    "scale": "demo",
    "protocol": "default",
    "datasets": {"acdc": {"title": "ACDC", "source": "phantom"}},
    "seeds": [0],
}


@pytest.fixture(autouse=True)
def no_hook(monkeypatch):
    """Tests may themselves be started by a git hook."""
    for name in HOOK_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def git(folder, *arguments):
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def package(tmp_path):
    """A committed package inside a repository."""
    folder = tmp_path / "src" / "package"
    folder.mkdir(parents=True)
    (folder / "code.py").write_text("value = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return folder


def test_the_commit_of_an_unchanged_package_is_told(package):
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=package, check=True, capture_output=True, text=True
    ).stdout.strip()
    told = provenance(package)
    assert (told["commit"], told["modified"]) == (head, False)
    assert len(head) == 40


def test_a_changed_file_of_the_package_is_told(package):
    (package / "code.py").write_text("value = 2\n")
    assert provenance(package)["modified"] is True


def test_a_new_file_of_the_package_is_told(package):
    (package / "method.py").write_text("value = 2\n")
    assert provenance(package)["modified"] is True


def test_results_beside_the_package_do_not_count_as_changes(package):
    (package.parents[1] / "dvc.lock").write_text("changed\n")
    assert provenance(package)["modified"] is False


def test_outside_a_repository_there_is_no_commit(tmp_path):
    told = provenance(tmp_path)
    assert (told["commit"], told["modified"]) == (None, None)


def test_a_package_that_git_ignores_does_not_borrow_the_commit_around_it(package):
    installed = package.parents[1] / ".venv" / "package"
    installed.mkdir(parents=True)
    (installed / "code.py").write_text("value = 1\n")
    assert provenance(installed)["commit"] is None


def test_a_repository_without_a_commit_has_none(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("")
    git(tmp_path, "add", ".")
    assert provenance(tmp_path)["commit"] is None


def test_a_git_hook_s_variables_do_not_mislead(package, tmp_path, monkeypatch):
    expected = provenance(package)["commit"]
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert provenance(package)["commit"] == expected is not None


def test_a_machine_without_git_is_no_problem(package, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance(package)["commit"] is None


def test_versions_are_told_and_equal_calls_agree():
    told = provenance()
    assert told == provenance()
    assert told["versions"]["arco"] == arco.__version__
    assert told["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["versions"]["torch"] is not None
    json.dumps(told, allow_nan=False)


def test_provenance_loads_neither_torch_nor_numpy():
    code = (
        "import sys; from arco.provenance import provenance; provenance();"
        "sys.exit(bool({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_phantoms_cannot_be_mistaken_for_the_dataset():
    assert conditions(REPORT) == (
        "Data: synthetic phantoms in the layout of ACDC, not ACDC itself. Scale: demo (shortened "
        "training, not comparable with the paper). Protocol: default. Seed: 0."
    )


def test_the_real_dataset_at_paper_scale_is_plainly_named():
    report = REPORT | {"scale": "paper", "seeds": [0, 1], "protocol": "appendix"}
    report["datasets"] = {
        "mpmri": {"title": "MP-MRI", "source": "phantom"},
        "la": {"title": "LA", "source": "raw"},
    }
    assert conditions(report) == (
        "Data: synthetic phantoms in the layout of MP-MRI, not MP-MRI itself; LA. Scale: paper. "
        "Protocol: appendix. Seeds: 0, 1."
    )
