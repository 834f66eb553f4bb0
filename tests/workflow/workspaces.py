"""A folder in which the real command line, Snakemake and DVC run at smoke scale."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass
class Workspace:
    """A copy of the workflow's files, with results and data of its own."""

    root: Path

    def run(
        self, *command: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess:
        """Run a command here; its output is captured."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def environment(self, **extra: str) -> dict[str, str]:
        """What commands see: the tools of this Python first, nothing of an enclosing workflow."""
        kept = {key: value for key, value in os.environ.items() if key != "ARCO_CONFIG"}
        return kept | {"PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"} | extra

    def arco(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        return self.run("arco", *arguments, check=check)

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        return self.run("snakemake", "--cores", "2", *arguments, check=check)

    def edit(self, old: str, new: str) -> None:
        """Replace one piece of params.yaml."""
        path = self.root / "params.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


def make_workspace(root: Path) -> Workspace:
    for name in ("params.yaml", "Snakefile", "dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(REPOSITORY / name, root / name)
    shutil.copytree(REPOSITORY / "workflow", root / "workflow")
    shutil.copytree(REPOSITORY / "profiles", root / "profiles")
    workspace = Workspace(root)
    workspace.edit("scale: demo ", "scale: smoke ")
    return workspace
