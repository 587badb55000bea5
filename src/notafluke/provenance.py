"""Where and with what a run was trained. Nothing of it names a machine, a user or a folder."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from notafluke.environments import store_environment
from notafluke.git import git
from notafluke.tasks.dataset import ARRAYS
from notafluke.tasks.dataset import PROVENANCE as PREPARED
from notafluke.versions import version

RECORDED_PACKAGES = ("torch", "pytorch-lightning", "numpy", "hydra-core", "notafluke")
LOCK_FILE = Path("requirements.lock")


def provenance(
    results: Path, content: Mapping[str, Any], device: str = "", prepared: Path | None = None
) -> dict[str, Any]:
    """Code, data, versions and processor of this process; stores the full description (environments). Imports torch.

    ``content`` is what the run's key hashes (plan.cell_content), ``device`` the very one where there are several of its
    type, ``prepared`` the folder of the task's prepared data. Raises StorageError where nothing can be stored.
    """
    import torch

    return {
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": bool(git("status", "--porcelain", "--untracked-files=no", "--", ".")),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in RECORDED_PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "gpu": gpu(device or str(content["device"])),
        "lock": _file_digest(LOCK_FILE),
        "config": hashlib.sha256(json.dumps(content["config"], sort_keys=True).encode()).hexdigest(),
        "code": content["code"],
        "data": content["data"],
        "data_digest": "" if prepared is None else data_digest(prepared),
        "environment": store_environment(results),
    }


@cache
def cpu_model() -> str:
    """What the processor calls itself; the kind of machine where it says nothing."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    except OSError:
        pass
    try:
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
        found = done.stdout.strip() if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        found = ""
    return found or platform.processor() or platform.machine()


def gpu(device: str) -> str:
    """Name and compute capability of a CUDA device, ``NVIDIA H100, 9.0``; empty for the CPU. Imports torch."""
    if not device.startswith("cuda"):
        return ""
    import torch

    major, minor = torch.cuda.get_device_capability(device)
    return f"{torch.cuda.get_device_name(device)}, {major}.{minor}"


def data_digest(prepared: Path) -> str:
    """The SHA-256 of prepared arrays, as their provenance says; empty where they are not there."""
    try:
        return str(json.loads((prepared / PREPARED).read_text(encoding="utf-8"))["sha256"][ARRAYS])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _file_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
