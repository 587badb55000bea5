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
EVALUATION_SAMPLES = 256


@dataclass(frozen=True)
class Batch:
    """The samples of one step of the optimizer.

    ``rows`` [S, B, K] (or [1, B, K] where all seeds take the same) are positions in the split; ``weights`` [B, K] sum
    to 1: samples weigh alike, padding weighs nothing.
    """

    rows: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(self.rows.to(device), self.weights.to(device))

    def samples_of(self, values: Tensor) -> Tensor:
        """Of values [S, B, K, ...] those of samples, without padding: [S, samples of the batch, ...]."""
        return values[:, self.weights > 0]


def window_batches(order: Tensor, batch_size: int) -> Iterator[Batch]:
    """``batch_size`` samples after another in the order [S, N], each a row of its own."""
    padded = padded_rows(batch_size)
    for start in range(0, order.shape[1], batch_size):
        rows = order[:, start : start + batch_size]
        real = rows.shape[1]
        weights = torch.zeros(padded)
        weights[:real] = 1 / real
        rows = torch.cat([rows, rows[:, :1].expand(-1, padded - real)], dim=1)
        yield Batch(rows[..., None], weights[:, None])


def stream_batches(samples: int, streams: int, length: int) -> Iterator[Batch]:
    """The last samples of a split cut into equal streams side by side, ``length`` of each at a time.

    What does not fit into equal streams is left out at the beginning, fewer samples than streams. Padding repeats whole
    streams: it must go through nothing that no sample goes through, as an overflow there would reach the gradient.
    """
    streams = min(streams, samples)
    longest = samples // streams
    rows = torch.arange(padded_rows(streams))[:, None]
    begin = samples - streams * longest + (rows % streams) * longest
    for start in range(0, longest, length):
        within = torch.arange(start, min(start + length, longest))
        weights = (rows < streams) / (streams * len(within))
        yield Batch((begin + within)[None], weights.expand(-1, len(within)))


def padded_rows(rows: int) -> int:
    """The next multiple of ROW_MULTIPLE."""
    return -(-rows // ROW_MULTIPLE) * ROW_MULTIPLE
