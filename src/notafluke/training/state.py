"""What happens to a network's state between samples, and with it how samples are grouped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor

from notafluke.training.samples import EVALUATION_SAMPLES, Batch, stream_batches, window_batches


class Reset:
    """Every sample starts from a state of zeros: shuffled windows, or windows in the order of time when online."""

    carried: ClassVar[bool] = False

    def training_batches(
        self, samples: int, batch_size: int, truncation: int, online: bool, shuffled: Callable[[], Tensor]
    ) -> Iterator[Batch]:
        """See notafluke.training.recipe.StateRule."""
        return window_batches(torch.arange(samples)[None] if online else shuffled(), batch_size)

    def evaluation_batches(self, samples: int) -> Iterator[Batch]:
        """See notafluke.training.recipe.StateRule."""
        return window_batches(torch.arange(samples)[None], EVALUATION_SAMPLES)


class Carried:
    """The state is carried: each time step of a series is read once, and the state advances once per step.

    Offline the series is cut into ``batch_size`` streams that are learned side by side, ``truncation`` samples at a
    time; online it is one stream, ``batch_size`` samples at a time. The gradient does not go back beyond these
    (truncated back-propagation through time, Williams and Peng 1990).
    """

    carried: ClassVar[bool] = True

    def training_batches(
        self, samples: int, batch_size: int, truncation: int, online: bool, shuffled: Callable[[], Tensor]
    ) -> Iterator[Batch]:
        """See notafluke.training.recipe.StateRule."""
        streams, length = (1, batch_size) if online else (batch_size, truncation)
        return stream_batches(samples, streams, length)

    def evaluation_batches(self, samples: int) -> Iterator[Batch]:
        """See notafluke.training.recipe.StateRule."""
        return stream_batches(samples, 1, EVALUATION_SAMPLES)
