"""Attention of a decoder to the steps of an encoder: additive scores, and what becomes of them.

Symbols in shapes: B samples, I source positions, H hidden units. The score of decoder step t for source position i is
``e_ti = v . tanh(W q_t + U h_i)`` (Bahdanau, Cho and Bengio 2015) with the decoder's hidden state q_t and the
encoder's h_i.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from notafluke.nn.cells import draw_uniform


class Attention(nn.Module, ABC):
    """Additive scores; a subclass turns those of the steps so far into the weights of this step."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.query_weight = nn.Parameter(torch.zeros(hidden_size, hidden_size))
        self.key_weight = nn.Parameter(torch.zeros(hidden_size, hidden_size))
        self.score_weight = nn.Parameter(torch.zeros(1, hidden_size))

    @torch.no_grad()
    def initialise(self, name: str, generator: torch.Generator) -> None:
        """Draw the starting value of the parameter ``name`` from its own stream."""
        draw_uniform(self.get_parameter(name), self.hidden_size, generator)

    def keys(self, encoded: Tensor) -> Tensor:
        """What the source positions contribute to the scores, [B, I, H]: the same at every decoder step."""
        return linear(encoded, self.key_weight)

    def forward(
        self, query: Tensor, keys: Tensor, encoded: Tensor, past: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Context [B, H] of a decoder step, and the past with this step.

        ``query`` is the decoder's hidden state [B, H], ``encoded`` the encoder's [B, I, H], ``past`` what ``weights``
        returned at the step before, None at the first.
        """
        mixed = torch.tanh(linear(query, self.query_weight)[:, None] + keys)
        weights, past = self.weights(linear(mixed, self.score_weight).squeeze(-1), past)
        return (weights[..., None] * encoded).sum(1), past

    @abstractmethod
    def weights(self, scores: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weights [B, I] of the source positions from this step's scores [B, I] and the past; and the new past."""


class AdditiveAttention(Attention):
    """Bahdanau, Cho and Bengio (2015): softmax over the source positions."""

    def weights(self, scores: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """See Attention; there is no past."""
        return torch.softmax(scores, -1), None


class TemporalAttention(Attention):
    """Temporal attention (Sankaran et al. 2016; Paulus, Xiong and Socher 2017): what was attended to counts less.

    ``e'_ti = exp(e_ti) / sum_{j<t} exp(e_ji)``, undivided at the first step, then normalised over the source positions.
    The past is ``log sum_{j<=t} exp(e_ji)``.
    """

    def weights(self, scores: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """See Attention."""
        tempered = scores if past is None else scores - past
        return torch.softmax(tempered, -1), with_step(scores, past)


class FaultyTemporalAttention(Attention):
    """A faulty implementation of temporal attention, the project's own reconstruction.

    Softmax over the decoder steps so far instead of over the source positions:
    ``exp(e_ti) / sum_{j<=t} exp(e_ji)``. At the first step every position has weight 1. It does not see later steps.
    """

    def weights(self, scores: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """See Attention."""
        so_far = with_step(scores, past)
        return torch.exp(scores - so_far), so_far


def with_step(scores: Tensor, past: Tensor | None) -> Tensor:
    """``log sum_{j<=t} exp(e_ji)`` from this step's scores and the same up to the step before."""
    return scores if past is None else torch.logaddexp(past, scores)


def none(hidden_size: int) -> None:
    """No attention: the decoder knows the source by the encoder's last state alone."""
    return None
