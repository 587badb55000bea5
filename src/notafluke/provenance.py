"""Where and with what a run was trained."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

RECORDED_PACKAGES = ("torch", "pytorch-lightning", "numpy", "hydra-core", "notafluke")


def provenance(results: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Code state, versions and processor of this process. Imports torch.

    ``content`` is what the run's key hashes (plan.cell_content).
    """
    import torch

    return {
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in RECORDED_PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def git(*arguments: str) -> str:
    """The output of a git command in the working folder; empty where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
