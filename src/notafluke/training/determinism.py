"""What makes a run repeatable to the last bit on a CPU. See invariant 2 in docs/design.md."""

from __future__ import annotations

import os
import sys

# MKL's matrix product otherwise depends on where in memory its operands lie.
ENVIRONMENT = {
    "MKL_CBWR": "AVX2,STRICT",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}


def pin_environment() -> None:
    """Set the environment that torch's libraries read when they are loaded.

    Raises RuntimeError if torch is loaded already under another setting of the matrix product.
    """
    if "torch" in sys.modules and os.environ.get("MKL_CBWR") != ENVIRONMENT["MKL_CBWR"]:
        raise RuntimeError("torch was imported before MKL_CBWR was set: call pin_environment() first")
    os.environ.update(ENVIRONMENT)


def pin_torch(deterministic: bool = True) -> None:
    """One thread and deterministic algorithms for this process; else a warning where there is none."""
    import torch

    torch.set_num_threads(1)
    # The same as use_deterministic_algorithms(True), which imports the compiler: a second of every process.
    torch.set_deterministic_debug_mode("error" if deterministic else "warn")
