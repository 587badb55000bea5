"""How the samples of a split are grouped: windows that stand for themselves, or streams of samples in time.

Symbols in shapes: S seeds of the block, N samples of a split, B rows of a batch, K samples of a row that follow each
other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Vectorised kernels take another path in a last partial vector, so every batch is padded to whole vectors.
ROW_MULTIPLE = 16


@dataclass(frozen=True)
class Batch:
    """The samples of one step of the optimizer.

    ``rows`` [S, B, K] (or [1, B, K] where all seeds take the same) are positions in the split; ``weights`` [B, K] sum
    to 1: samples weigh alike, padding weighs nothing.
    """

    rows: Tensor
    weights: Tensor


def window_batches(order: Tensor, batch_size: int) -> Iterator[Batch]:
    """``batch_size`` samples after another in the order [S, N], each a row of its own."""
    padded = padded_rows(batch_size)
    for start in range(0, order.shape[1], batch_size):
        rows = order[:, start : start + batch_size]
        real = rows.shape[1]
        weights = torch.zeros(padded, device=rows.device)
        weights[:real] = 1 / real
        rows = torch.cat([rows, rows[:, :1].expand(-1, padded - real)], dim=1)
        yield Batch(rows[..., None], weights[:, None])


def stream_batches(samples: int, streams: int, piece: int, device: torch.device) -> Iterator[Batch]:
    """The samples 0 to N - 1 cut into streams side by side, in pieces; the last stream may be shorter."""
    length = -(-samples // streams)
    rows = torch.arange(padded_rows(streams), device=device)[:, None]
    for start in range(0, length, piece):
        within = torch.arange(start, min(start + piece, length), device=device)
        position = rows * length + within
        real = (rows < streams) & (position < samples)
        yield Batch(position.clamp(max=samples - 1)[None], real / real.sum())


def padded_rows(rows: int) -> int:
    """The next multiple of ROW_MULTIPLE."""
    return -(-rows // ROW_MULTIPLE) * ROW_MULTIPLE
