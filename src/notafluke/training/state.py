"""What happens to a network's state between samples, and with it how samples are grouped in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor

from notafluke.training.samples import Batch, stream_batches, window_batches


class Reset:
    """Every sample starts from a state of zeros; a batch is ``batch_size`` samples in the order given."""

    carried: ClassVar[bool] = False

    def batches(self, order: Tensor, batch_size: int, piece: int, online: bool) -> Iterator[Batch]:
        """See notafluke.training.recipe.StateRule."""
        return window_batches(order, batch_size)


class Carried:
    """The state is carried: each time step of a series is read once, and the state advances once per step.

    Offline the series is cut into ``batch_size`` streams that are learned side by side, in pieces of ``piece`` samples;
    online it is one stream in pieces of ``batch_size`` samples. The gradient ends at the beginning of a piece.
    """

    carried: ClassVar[bool] = True

    def batches(self, order: Tensor, batch_size: int, piece: int, online: bool) -> Iterator[Batch]:
        """See notafluke.training.recipe.StateRule; the samples are taken in the order of time."""
        streams, length = (1, batch_size) if online else (batch_size, piece)
        return stream_batches(order.shape[1], streams, length, order.device)
