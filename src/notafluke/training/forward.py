"""One forward pass of a block of seeds over a batch: what each model is given, and its outputs beside the targets.

Symbols in shapes: S seeds of the block, B rows of a batch, K samples of a row that follow each other, T time steps of a
sample, O outputs. There are three kinds of models:

* ``forward(inputs)``: [B, T, F] to [B, T, O], or to [B, O] for the last step alone; * one that can carry its state:
``forward(inputs, state)`` also gives the state after them, ``initial_state(inputs)`` the
  one before the first step, a tuple of tensors whose first axis is the sample;
* one that gives a sequence of its own: ``forward(inputs, previous, free_running=False)`` with the targets of the step
  before [B, U, O], to [B, U, O].
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from notafluke.training.batching import call_seeds
from notafluke.training.data import SeedData, previous
from notafluke.training.samples import Batch

State = tuple[Tensor, ...]


def window_outputs(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    data: SeedData,
    split: str,
    batch: Batch,
    free_running: bool = False,
) -> Tensor:
    """Outputs [S, B, 1, ..., O] of every seed's model for samples that each stand for themselves."""
    inputs = data.windows(split, batch)
    outputs: Tensor
    if data.task.targets_at == "sequence":
        before = previous(data.truth(split, batch))[:, :, 0]
        outputs = call_seeds(model, tensors, inputs, before, free_running=free_running)
    else:
        outputs = call_seeds(model, tensors, inputs)
        if data.task.targets_at == "last" and outputs.dim() == inputs.dim():
            outputs = outputs[:, :, -1]
    return outputs[:, :, None]


def series_outputs(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    data: SeedData,
    split: str,
    batch: Batch,
    state: State | None,
) -> tuple[Tensor, State]:
    """Outputs [S, B, K, ..., O] for samples that follow each other, from a state or the first; and the state after
    them.

    The state is cut off from the gradient.
    """
    inputs = data.series(split, batch)
    if state is None:
        first: State = model.initial_state(inputs[0])  # type: ignore[operator]
        state = tuple(part.expand(len(inputs), *part.shape) for part in first)
    outputs, after = call_seeds(model, tensors, inputs, state)
    by_sample = outputs.unflatten(2, (batch.rows.shape[2], -1))
    shown = by_sample[:, :, :, -1] if data.task.targets_at == "last" else by_sample
    return shown, tuple(part.detach() for part in after)
