"""The LSTM over all time steps as one operation with its own backward pass, for a stack of models.

It does what autograd does with the loop of ``notafluke.nn.cells``, with the same operations in the same order, so that
every number is the same to the last bit; but without autograd's bookkeeping, and in arrays that are written in place.
Symbols in shapes: S stacked models, B samples, T time steps, F features, H hidden units; blocks of 4 H rows are input
gate, forget gate, candidate, output gate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from notafluke.nn.elementwise import Elementwise

VECTOR = 32
"""Elements that PyTorch's kernels take in one step; what is left of a row goes through other code."""

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


class Tape:
    """What the forward pass leaves for the backward pass.

    ``gates`` [T, S, B, 4 H] hold the gates after their sigmoid, ``hidden`` and ``cells`` [T + 1, S, B, H] begin with
    the first state; ``candidates`` and ``shown`` are, step by step, the activated candidate and cell and what the
    derivative of the activation needs.
    """

    inputs: Tensor
    gates: Tensor
    hidden: Tensor
    cells: Tensor
    candidates: list[tuple[Tensor, ...]]
    shown: list[tuple[Tensor, ...]]

    def tensors(self) -> list[Tensor]:
        """All that it holds."""
        steps = (own for step in (*self.candidates, *self.shown) for own in step)
        return [self.inputs, self.gates, self.hidden, self.cells, *steps]


class LSTMScan(torch.autograd.Function):
    """Hidden states [B, T, H], last hidden state and last cell [B, H] of an LSTM; all with a leading S for a stack.

    Its arguments: inputs [B, T, F], input weight [4 H, F], recurrent weight [4 H, H], bias [4 H], first hidden state
    and cell [B, H], the activation, and an empty Tape, or None where nothing is to be differentiated.
    """

    @staticmethod
    def forward(
        inputs: Tensor,
        input_weight: Tensor,
        recurrent_weight: Tensor,
        bias: Tensor,
        hidden: Tensor,
        cell: Tensor,
        activation: Elementwise,
        tape: Tape | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        if inputs.dim() == 4:
            return scan(inputs, input_weight, recurrent_weight, bias, hidden, cell, activation, tape)
        tensors = (inputs[None], input_weight[None], recurrent_weight[None], bias[None], hidden[None], cell[None])
        outputs, last_hidden, last_cell = scan(*tensors, activation, tape)
        return outputs[0], last_hidden[0], last_cell[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what the backward pass needs."""
        ctx.activation, ctx.tape, ctx.stacked = inputs[-2], inputs[-1], inputs[0].dim() == 4
        # The tape as well, so that what counts the memory of a step sees it.
        ctx.save_for_backward(inputs[1], inputs[2], *([] if ctx.tape is None else ctx.tape.tensors()))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """The gradients of all tensors that went in. Raises RuntimeError without a tape."""
        if ctx.tape is None:
            raise RuntimeError("this LSTM ran without a tape: nothing of it can be differentiated")
        own = [*ctx.saved_tensors[:2], *gradients]
        stacked = own if ctx.stacked else [value[None] for value in own]
        found = scan_backward(ctx.tape, ctx.activation, *stacked, with_inputs=ctx.needs_input_grad[0])
        return *(found if ctx.stacked else (None if value is None else value[0] for value in found)), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:
        """All models of a stack at once."""
        *tensors, activation, tape = arguments
        stacked = [
            own.expand(info.batch_size, *own.shape) if dim is None else own.movedim(dim, 0)
            for own, dim in zip(tensors, in_dims, strict=False)
        ]
        return run_lstm(*stacked, activation, tape), (0, 0, 0)


def run_lstm(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Apply LSTMScan to its arguments."""
    found: tuple[Tensor, Tensor, Tensor] = LSTMScan.apply(*arguments)  # type: ignore[no-untyped-call]
    return found


def scan(
    inputs: Tensor,
    input_weight: Tensor,
    recurrent_weight: Tensor,
    bias: Tensor,
    first_hidden: Tensor,
    first_cell: Tensor,
    activation: Elementwise,
    tape: Tape | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states [S, B, T, H], last hidden state and last cell [S, B, H]; see LSTMScan."""
    models, samples, steps, _ = inputs.shape
    units = first_hidden.shape[-1]
    # Without a tape two rows, before and after, take turns.
    kept = steps if tape is not None else 1
    gates = inputs.new_empty(kept, models, samples, 4 * units)
    hidden, cells = (inputs.new_empty(kept + 1, models, samples, units) for _ in range(2))
    hidden[0], cells[0] = first_hidden, first_cell
    outputs = inputs.new_empty(models, samples, steps, units)
    projected, written = torch.empty_like(gates[0]), torch.empty_like(cells[0])
    of_input, of_hidden, shift = input_weight.transpose(1, 2), recurrent_weight.transpose(1, 2), bias[:, None]
    gate_rows, hidden_rows, cell_rows = gates.unbind(0), hidden.unbind(0), cells.unbind(0)
    input_gates, forget_gates, candidates_in, output_gates = _parts(gates)
    sigmoids = _sigmoid_parts(gates)
    input_rows, output_rows = inputs.movedim(2, 0).contiguous().unbind(0), outputs.unbind(2)
    candidates, shown = list[tuple[Tensor, ...]](), list[tuple[Tensor, ...]]()
    for step in range(steps):
        row, before, after = (step, step, step + 1) if tape is not None else (0, step % 2, (step + 1) % 2)
        torch.bmm(input_rows[step], of_input, out=projected)
        projected.add_(shift)
        total = torch.bmm(hidden_rows[before], of_hidden, out=gate_rows[row])
        total.add_(projected)
        for part in sigmoids:
            part[row].sigmoid_()
        cell = torch.mul(forget_gates[row], cell_rows[before], out=cell_rows[after])
        if tape is not None:
            candidates.append(activation.values_and_saved(candidates_in[row]))
            cell.add_(torch.mul(input_gates[row], candidates[-1][0], out=written))
            shown.append(activation.values_and_saved(cell))
            now = torch.mul(output_gates[row], shown[-1][0], out=hidden_rows[after])
        else:
            cell.add_(torch.mul(input_gates[row], activation.values(candidates_in[row]), out=written))
            now = torch.mul(output_gates[row], activation.values(cell), out=hidden_rows[after])
        output_rows[step].copy_(now)
    if tape is not None:
        tape.inputs, tape.gates, tape.hidden, tape.cells = inputs, gates, hidden, cells
        tape.candidates, tape.shown = candidates, shown
    return outputs, hidden_rows[after].clone(), cell_rows[after].clone()


def scan_backward(
    tape: Tape,
    activation: Elementwise,
    input_weight: Tensor,
    recurrent_weight: Tensor,
    of_outputs: Tensor,
    of_last_hidden: Tensor,
    of_last_cell: Tensor,
    *,
    with_inputs: bool,
) -> tuple[Tensor | None, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of inputs, input weight, recurrent weight, bias, first hidden state and first cell; see LSTMScan."""
    steps, models, samples, rows = tape.gates.shape
    of_projected = tape.gates.new_empty(models, samples, steps, rows)
    total = torch.empty_like(tape.gates[0])
    from_input, from_forget, from_candidate, from_output = total.chunk(4, dim=-1)
    from_sigmoids = [own[0] for own in _sigmoid_parts(total[None])]
    input_gates, forget_gates, _, output_gates = _parts(tape.gates)
    sigmoids = _sigmoid_parts(tape.gates)
    hidden_rows, cell_rows = tape.hidden.unbind(0), tape.cells.unbind(0)
    output_rows, projected_rows = of_outputs.unbind(2), of_projected.unbind(2)
    of_recurrent = recurrent_weight.new_zeros(models, rows // 4, rows)
    product = torch.empty_like(of_recurrent)
    of_hidden, of_cell = of_last_hidden.clone(), of_last_cell.clone()
    through = torch.empty_like(of_hidden)
    for step in reversed(range(steps)):
        candidate, *saved_of_candidate = tape.candidates[step]
        shown, *saved_of_shown = tape.shown[step]
        of_hidden.add_(output_rows[step])
        torch.mul(of_hidden, output_gates[step], out=through)
        of_cell.add_(activation.gradient(through, *saved_of_shown))
        torch.mul(of_hidden, shown, out=from_output)
        torch.mul(of_cell, cell_rows[step], out=from_forget)
        torch.mul(of_cell, candidate, out=from_input)
        for part, own in zip(sigmoids, from_sigmoids, strict=True):
            _sigmoid_backward(own, part[step], grad_input=own)
        torch.mul(of_cell, input_gates[step], out=through)
        from_candidate.copy_(activation.gradient(through, *saved_of_candidate))
        of_cell.mul_(forget_gates[step])
        torch.bmm(total, recurrent_weight, out=of_hidden)
        of_recurrent.add_(torch.bmm(hidden_rows[step].transpose(1, 2), total, out=product))
        projected_rows[step].copy_(total)
    flat, flat_inputs = of_projected.flatten(1, 2), tape.inputs.flatten(1, 2)
    of_inputs = torch.bmm(flat, input_weight).view(tape.inputs.shape) if with_inputs else None
    of_input = torch.bmm(flat_inputs.transpose(1, 2), flat).transpose(1, 2)
    # Transposed as autograd leaves them: the order of memory decides in which order a norm adds up the squares.
    return of_inputs, of_input, of_recurrent.transpose(1, 2), of_projected.sum((1, 2)), of_hidden, of_cell


def _parts(blocks: Tensor) -> list[tuple[Tensor, ...]]:
    """The four parts of blocks [T, S, B, 4 H], each step by step."""
    return [own.unbind(0) for own in blocks.chunk(4, dim=-1)]


def _sigmoid_parts(blocks: Tensor) -> list[tuple[Tensor, ...]]:
    """Those of the gates; the two that lie side by side as one where that leaves the code path the same."""
    input_gates, forget_gates, _, output_gates = _parts(blocks)
    units = blocks.shape[-1] // 4
    if units % VECTOR:
        return [input_gates, forget_gates, output_gates]
    return [blocks[..., : 2 * units].unbind(0), output_gates]
