"""What trained networks write by themselves: each goes on from the task's prompts, on its own outputs.

Symbols in shapes: S seeds of the block, P prompts, B rows (prompts and padding), T time steps, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from notafluke.tasks.base import Float32, Prompts, Task
from notafluke.training.batching import call_seeds
from notafluke.training.samples import padded_rows


@torch.no_grad()
def continuations(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    prompts: Prompts,
    task: Task,
    predictions: Callable[[Tensor], Tensor],
    generators: Sequence[np.random.Generator],
) -> Float32:
    """The steps that each seed's network goes on for, [S, P, steps, F]; ``generators`` has one for each seed.

    A model that can carry its state reads the prompt and then each step once; another sees as many steps as the prompt
    has. ``predictions`` maps outputs to what the task's metrics see.
    """
    count = len(prompts.inputs)
    rows = np.resize(np.arange(count), padded_rows(count))
    device = next(iter(tensors.values())).device
    shape = (len(generators), *prompts.inputs[rows].shape)
    inputs = torch.from_numpy(prompts.inputs[rows]).to(device).expand(shape)
    carried = callable(getattr(model, "initial_state", None))
    state = tuple(part.expand(shape[0], *part.shape) for part in model.initial_state(inputs[0])) if carried else None  # type: ignore[operator]
    written = []
    for _ in range(prompts.steps):
        if carried:
            outputs, state = call_seeds(model, tensors, inputs, state)
        else:
            outputs = call_seeds(model, tensors, inputs)
        last = predictions(outputs[:, :, -1] if outputs.dim() == inputs.dim() else outputs).cpu().numpy()
        chosen = np.stack([task.next_inputs(own[:count], rng) for own, rng in zip(last, generators, strict=True)])
        written.append(chosen)
        step = torch.from_numpy(chosen[:, rows]).to(device)[:, :, None]
        inputs = step if carried else torch.cat([inputs[:, :, 1:], step], dim=2)
    return np.stack(written, axis=2)
