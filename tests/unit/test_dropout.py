"""Dropout whose masks belong to a run: by key, the same in every block, and in the right share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from notafluke.nn import Dropout
from notafluke.training.batching import key_names


def masks(layer: Dropout, keys: list[int], inputs: Tensor) -> Tensor:
    def one(key: Tensor, own: Tensor) -> Tensor:
        found: Tensor = functional_call(layer, {"key": key}, (own,))
        return found

    return vmap(one)(torch.tensor(keys), inputs)


def test_a_seed_s_mask_does_not_depend_on_its_block() -> None:
    layer, inputs = Dropout(0.4), torch.ones(4, 3, 7)
    block = masks(layer, [5, 9, 5, 2], inputs)
    assert torch.equal(block[0], block[2]) and not torch.equal(block[0], block[1])
    assert torch.equal(masks(layer, [2, 9], inputs[:2]), block[[3, 1]])
    alone = functional_call(layer, {"key": torch.tensor(9)}, (inputs[1],))
    assert torch.equal(alone, block[1])


def test_the_share_that_is_dropped_and_the_scale_of_the_rest() -> None:
    """200,000 elements: 4.5 standard errors."""
    layer, inputs = Dropout(0.3), torch.ones(200, 1000)
    found = layer(inputs)
    values = sorted(set(found.flatten().tolist()))
    assert values == pytest.approx([0, 1 / 0.7])
    dropped = (found == 0).double().mean().item()
    assert abs(dropped - 0.3) < 4.5 * (0.3 * 0.7 / 200_000) ** 0.5
    rows, columns = ((found == 0).double().mean(dim).std().item() for dim in (1, 0))
    assert rows < 1.3 * (0.21 / 1000) ** 0.5 and columns < 1.3 * (0.21 / 200) ** 0.5, "no pattern along an axis"


def test_the_gradient_goes_through_what_was_kept() -> None:
    inputs = torch.ones(2, 3, 7, requires_grad=True)
    found = masks(Dropout(0.5), [1, 2], inputs)
    found.sum().backward()
    assert inputs.grad is not None and torch.equal(inputs.grad, found.detach())


def test_not_while_evaluating_and_not_at_0() -> None:
    inputs = torch.randn(3, 4)
    assert torch.equal(Dropout(0.5).eval()(inputs), inputs)
    assert torch.equal(Dropout(0.0).train()(inputs), inputs)


def test_the_engine_finds_the_keys_of_the_layers_that_drop() -> None:
    model = nn.ModuleDict({"a": Dropout(0.5), "b": nn.ModuleList([Dropout(0.0), Dropout(0.1)])})
    assert key_names(model) == ["a.key", "b.1.key"]
    assert key_names(Dropout(0.5)) == ["key"]


def test_the_key_is_no_part_of_the_saved_weights() -> None:
    assert Dropout(0.5).state_dict() == {}


def test_the_type_of_the_inputs_stays() -> None:
    assert Dropout(0.5)(torch.ones(3, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("p", [1.0, -0.1, float("nan")])
def test_no_share(p: float) -> None:
    with pytest.raises(ValueError, match="dropout="):
        Dropout(p)
