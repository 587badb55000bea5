"""Attention and the sequence-to-sequence model against slow loops over the equations of their papers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from notafluke.nn import attention as kinds
from notafluke.nn.attention import Attention
from notafluke.nn.seq2seq import Seq2Seq, most_probable

KINDS: dict[str, type[Attention] | None] = {
    "none": None,
    "additive": kinds.AdditiveAttention,
    "temporal": kinds.TemporalAttention,
    "temporal_faulty": kinds.FaultyTemporalAttention,
}


def randomise(module: nn.Module, size: float = 0.8) -> None:
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-size, size, generator=random)


def slow_weights(kind: str, scores: np.ndarray) -> np.ndarray:
    """Weights [T, I] from all scores e_ti [T, I] of one sample, number by number."""
    steps, positions = scores.shape
    weights = np.zeros((steps, positions))
    for t in range(steps):
        for i in range(positions):
            e = math.exp(scores[t, i])
            if kind == "additive":
                weights[t, i] = e / sum(math.exp(scores[t, k]) for k in range(positions))
            elif kind == "temporal_faulty":
                weights[t, i] = e / sum(math.exp(scores[j, i]) for j in range(t + 1))
            else:
                # Paulus et al. 2017, equation 3, then 4.
                def tempered(k: int, t: int = t) -> float:
                    before = sum(math.exp(scores[j, k]) for j in range(t))
                    return math.exp(scores[t, k]) / (before if t else 1)

                weights[t, i] = tempered(i) / sum(tempered(k) for k in range(positions))
    return weights


@pytest.mark.parametrize("kind", ["additive", "temporal", "temporal_faulty"])
class TestWeights:
    def run(self, kind: str, steps: int = 6) -> tuple[np.ndarray, np.ndarray]:
        """Contexts [T, H] of the code, and by the slow loop."""
        make = KINDS[kind]
        assert make is not None
        module = make(5).double()
        randomise(module)
        random = np.random.default_rng(0)
        encoded, queries = random.standard_normal((7, 5)), random.standard_normal((steps, 5))
        w, u, v = (own.detach().numpy() for own in (module.query_weight, module.key_weight, module.score_weight))
        scores = np.array([[v[0] @ np.tanh(w @ query + u @ position) for position in encoded] for query in queries])
        source = torch.from_numpy(encoded)[None]
        keys, past, contexts = module.keys(source), None, []
        for query in queries:
            context, past = module(torch.from_numpy(query)[None], keys, source, past)
            contexts.append(context[0].detach().numpy())
        return np.stack(contexts), slow_weights(kind, scores) @ encoded

    def test_contexts_are_those_of_the_slow_loop(self, kind: str) -> None:
        found, expected = self.run(kind)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)

    def test_later_steps_are_not_seen(self, kind: str) -> None:
        """The first steps are the same whether or not more follow."""
        np.testing.assert_array_equal(self.run(kind, 3)[0], self.run(kind, 6)[0][:3])

    def test_large_scores_do_not_overflow(self, kind: str) -> None:
        """exp(e) of these would: the code works on logarithms."""
        make = KINDS[kind]
        assert make is not None
        module = make(3)
        scores = torch.tensor([[[900.0, -900.0, 100.0]], [[-900.0, 900.0, 100.0]], [[900.0, 900.0, -900.0]]])
        past, weights = None, torch.empty(0)
        for step in scores:
            weights, past = module.weights(step, past)
            assert weights.isfinite().all()
        # A logarithm of 900 has 4 digits behind the point in float32.
        np.testing.assert_allclose(weights[0].numpy(), [0.5, 0.5, 0.0], atol=1e-4)


def test_temporal_attention_turns_away_from_what_it_has_seen() -> None:
    """The same scores at every step: position 0 first, then all alike."""
    module = kinds.TemporalAttention(3)
    scores, past, shown = torch.tensor([[4.0, 0.0, 0.0]]), None, []
    for _ in range(3):
        weights, past = module.weights(scores, past)
        shown.append(weights[0].tolist())
    assert shown[0][0] > 0.9
    assert shown[1] == pytest.approx([1 / 3] * 3) and shown[2] == pytest.approx([1 / 3] * 3)


def build(kind: str, depth: int = 1, dropout: float = 0.0) -> Seq2Seq:
    make = KINDS[kind]
    network = Seq2Seq(4, 5, torch.tanh, make or kinds.none, 6, depth, 1.0, False, dropout).double()
    randomise(network)
    return network


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
class TestSeq2Seq:
    def test_teacher_forcing_written_out(self, kind: str, depth: int) -> None:
        """PyTorch's LSTMs with our weights, one step of the decoder after another."""
        network = build(kind, depth)
        source = torch.randn(3, 8, 4, dtype=torch.float64)
        previous = torch.eye(5, dtype=torch.float64)[torch.randint(0, 5, (3, 6))]
        encoder, decoder = (
            nn.LSTM(4, 6, depth, batch_first=True).double(),
            nn.LSTM(5, 6, depth, batch_first=True).double(),
        )
        for theirs, ours in ((encoder, network.encoder), (decoder, network.decoder)):
            with torch.no_grad():
                for number, layer in enumerate(ours):
                    getattr(theirs, f"weight_ih_l{number}").copy_(layer.input_weight)
                    getattr(theirs, f"weight_hh_l{number}").copy_(layer.recurrent_weight)
                    getattr(theirs, f"bias_ih_l{number}").copy_(layer.bias)
                    getattr(theirs, f"bias_hh_l{number}").zero_()
        encoded, state = encoder(source)
        past, expected = None, []
        for step in range(6):
            hidden, state = decoder(previous[:, step : step + 1], state)
            seen = hidden[:, 0]
            if network.attention is not None:
                keys = network.attention.keys(encoded)
                context, past = network.attention(seen, keys, encoded, past)
                seen = torch.cat([seen, context], dim=1)
            expected.append(network.head(seen))
        torch.testing.assert_close(network(source, previous), torch.stack(expected, dim=1), rtol=1e-10, atol=1e-10)

    def test_running_freely_is_being_taught_ones_own_words(self, kind: str, depth: int) -> None:
        """Teacher forcing on the symbols that it wrote gives the same outputs."""
        network = build(kind, depth)
        source = torch.randn(3, 8, 4, dtype=torch.float64)
        start = torch.zeros(3, 6, 5, dtype=torch.float64)
        free = network(source, start, free_running=True)
        written = most_probable(free)
        assert (written.sum(-1) == 1).all()
        taught = network(source, torch.cat([start[:, :1], written[:, :-1]], dim=1))
        torch.testing.assert_close(free, taught, rtol=1e-12, atol=1e-12)
        other = torch.ones_like(start)
        other[:, 0] = 0
        assert torch.equal(network(source, other, free_running=True), free), "only the first symbol is given"

    def test_a_step_does_not_see_the_targets_to_come(self, kind: str, depth: int) -> None:
        network = build(kind, depth)
        source, previous = torch.randn(2, 8, 4, dtype=torch.float64), torch.rand(2, 6, 5, dtype=torch.float64)
        changed = previous.clone()
        changed[:, 4:] += 1
        before, after = network(source, previous), network(source, changed)
        assert torch.equal(before[:, :4], after[:, :4]) and not torch.equal(before[:, 4], after[:, 4])

    def test_dropout_while_training_only(self, kind: str, depth: int) -> None:
        plain, dropping = build(kind, depth), build(kind, depth, dropout=0.5)
        source, previous = torch.randn(2, 4, 4, dtype=torch.float64), torch.rand(2, 3, 5, dtype=torch.float64)
        assert torch.equal(plain.eval()(source, previous), dropping.eval()(source, previous))
        assert not torch.equal(dropping.train()(source, previous), dropping.eval()(source, previous))


def test_attention_costs_its_parameters() -> None:
    none, some = (sum(own.numel() for own in build(kind).parameters()) for kind in ("none", "additive"))
    assert some - none == 2 * 6 * 6 + 6 + 5 * 6  # two matrices and a vector; the head sees the context too


def test_the_first_of_equal_outputs_is_the_most_probable() -> None:
    assert most_probable(torch.tensor([[1.0, 3.0, 3.0]])).tolist() == [[0, 1, 0]]
