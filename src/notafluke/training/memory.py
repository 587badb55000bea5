"""Memory of a training: what a seed needs, what there is, and how freed memory is kept for the next step."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

import psutil
import torch

from notafluke.training.block import SeedBlock
from notafluke.training.samples import EVALUATION_SAMPLES

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of the C library's settings, see mallopt(3)."""
KEPT_BYTES = 2**30
SHARE = 0.75
"""Of the memory that is free, as what a seed takes is an estimate."""
COPIES_OF_WEIGHTS = 10
"""The weights, their gradients before and after the rule, two memories of Adam, a temporary of its step, the best of
all epochs, and three more where a seed learns on through the validation and test split."""

COPIES_OF_PREDICTIONS = 4
"""In batches, joined, as the task's metrics see them, and on the way there."""


def keep_freed_memory() -> None:
    """Let the process keep the memory that it frees, where the C library is glibc; elsewhere nothing happens.

    Otherwise every large array of a step is given back to the system and comes anew, page by page, with the next step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def bytes_of_seed(block: SeedBlock) -> int:
    """About the most bytes that one seed of a block may take, by a forward pass of one training batch.

    That is weights and what belongs to them, the seed's own data, the predictions of a split, and what a batch of
    training keeps for its backward pass, once more for the gradients; or as much for a batch of the evaluation.
    """
    weights = sum(parameter.nbytes for parameter in block.stacked)
    parts = (*block.data.inputs.values(), *block.data.targets.values())
    data = sum(part.nbytes for part in parts) if block.task.varies_with_seed else 0
    batch = block.batches("train", shuffle=False)[0]
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = block.outputs(block.weights | block.keys("train", 0), "train", batch, None, training=True)
    saved = sum(kept.values()) - weights
    rows = batch.rows.shape[1] * batch.rows.shape[2]
    in_batch = 2 * saved * max(rows, EVALUATION_SAMPLES) // rows
    longest = max(block.data.samples(split) for split in ("validation", "test"))
    predictions = COPIES_OF_PREDICTIONS * longest * outputs[0].nbytes // rows
    total: int = COPIES_OF_WEIGHTS * weights + data + in_batch
    return total // len(block.streams) + predictions


def available_bytes() -> int:
    """The memory that a training may take: a share of what is free, or of its control group's limit, for each core."""
    free = int(psutil.virtual_memory().available)
    # There may be no control group, or one without a limit.
    with contextlib.suppress(OSError, ValueError):
        free = min(free, int(CGROUP_LIMIT.read_text(encoding="utf-8")))
    return int(SHARE * free) // (os.cpu_count() or 1)
