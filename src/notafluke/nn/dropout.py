"""Dropout whose masks belong to a run: drawn from the stream of (seed, replica, epoch, step, layer)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx


class Dropout(nn.Module):
    """Set the share ``p`` of the elements to 0 while training and scale the rest by ``1 / (1 - p)``; else do nothing.

    Unlike ``nn.Dropout`` it works for a block of seeds: each seed's mask is drawn from its own ``key``, which the
    engine sets before each step, so a run does not depend on its block. The masks are drawn on the CPU, hence the
    same on every device. A module that is called twice in one forward pass uses the same mask twice (variational
    dropout).

    Raises ValueError unless ``0 <= p < 1``.
    """

    key: Tensor | None

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout={p}: expected a share of at least 0 and less than 1")
        self.p = p
        self.register_buffer("key", torch.zeros((), dtype=torch.int64) if p else None, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs [...], some of them 0 while training."""
        if not self.training or self.key is None:
            return inputs
        kept: Tensor = _Kept.apply(self.key, inputs.shape, self.p)  # type: ignore[no-untyped-call]
        return inputs * (kept / (1 - self.p)).to(inputs)


class _Kept(Function):
    """1 with probability ``1 - p``, else 0, from the stream of a key; under ``vmap`` from each seed's own."""

    @staticmethod
    def forward(key: Tensor, shape: torch.Size, p: float) -> Tensor:
        return torch.empty(shape).bernoulli_(1 - p, generator=torch.Generator().manual_seed(int(key)))

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[None, None, None]:
        return None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], key: Tensor, shape: torch.Size, p: float
    ) -> tuple[Tensor, int]:
        return torch.stack([_Kept.forward(own, shape, p) for own in key.unbind(in_dims[0] or 0)]), 0
