"""Distance to the limit: ``python benchmarks/limit.py`` compares the LSTM of the engine with what the machine can do.

A step, forward and backward, of ten seeds (batch 32, 32 time steps, 2 features, one thread) by the engine's own path,
against ``nn.LSTM`` run one seed at a time, and against the recurrent matrix products alone, as PyTorch's own batched
product computes them. It writes ``benchmarks/results/performance/limit.json`` and its section of
``docs/performance.md``. ``--quick`` measures fewer sizes and prints.

Example: python benchmarks/limit.py --quick
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from measuring import Ratio, Spread, interleaved, quotients, store
from pages import markdown_table
from seeds import pin

PART = "limit"
UNITS = (16, 32, 64, 128)
ACTIVATIONS = ("tanh", "golden_tanh", "iris", "relu")
SEEDS, BATCH, STEPS, FEATURES = 10, 32, 32, 2
REPETITIONS = 15
TARGET, TARGETED = 0.8, (16, 32, 64)


@dataclass(frozen=True)
class Timed:
    """Seconds of a step of all seeds in each turn: nn.LSTM, the products alone, the engine by activation."""

    stock: list[float]
    products: list[float]
    engine: dict[str, list[float]]


def engine_step(units: int, activation: str) -> Callable[[], float]:
    """Forward and backward of all seeds by vmap over the project's own layer."""
    import torch
    from torch.func import functional_call, vmap

    from notafluke.nn import activations
    from notafluke.nn.cells import LSTMLayer

    layer = LSTMLayer(FEATURES, units, getattr(activations, activation))
    weights = {name: (0.1 * torch.randn(SEEDS, *own.shape)).requires_grad_() for name, own in layer.named_parameters()}
    inputs = torch.randn(SEEDS, BATCH, STEPS, FEATURES)

    def step() -> float:
        began = time.perf_counter()
        hidden = vmap(lambda own, x: functional_call(layer, own, (x,))[0])(weights, inputs)
        torch.autograd.grad(hidden[:, :, -1].square().sum(), list(weights.values()))
        return time.perf_counter() - began

    return step


def stock_step(units: int) -> Callable[[], float]:
    """The same by nn.LSTM, one seed after another."""
    import torch

    layers = [torch.nn.LSTM(FEATURES, units, batch_first=True) for _ in range(SEEDS)]
    inputs = torch.randn(SEEDS, BATCH, STEPS, FEATURES)

    def step() -> float:
        began = time.perf_counter()
        for layer, own in zip(layers, inputs, strict=True):
            torch.autograd.grad(layer(own)[0][:, -1].square().sum(), list(layer.parameters()))
        return time.perf_counter() - began

    return step


def products_step(units: int) -> Callable[[], float]:
    """The recurrent products alone: forward, of the hidden state and of the weights, for each time step."""
    import torch

    hidden, weights = torch.randn(SEEDS, BATCH, units), torch.randn(SEEDS, units, 4 * units)
    blocks = torch.randn(SEEDS, BATCH, 4 * units)
    out = torch.empty_like(blocks), torch.empty_like(hidden), torch.empty_like(weights)

    def step() -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            torch.bmm(hidden, weights, out=out[0])
            torch.bmm(blocks, weights.transpose(1, 2), out=out[1])
            torch.bmm(hidden.transpose(1, 2), blocks, out=out[2])
        return time.perf_counter() - began

    return step


def operations(units: int) -> float:
    """Floating-point operations of those products."""
    return 3 * 2 * SEEDS * BATCH * STEPS * 4 * units * units


def measure(sizes: Sequence[int], names: Sequence[str], repetitions: int) -> dict[int, Timed]:
    """The seconds of every way, by hidden units."""
    from notafluke.training.determinism import pin_torch
    from notafluke.training.memory import keep_freed_memory

    pin_torch()
    keep_freed_memory()
    found = {}
    for units in sizes:
        ways = {"stock": stock_step(units), "products": products_step(units)}
        ways |= {name: engine_step(units, name) for name in names}
        for way in ways.values():
            way()
        seconds = interleaved(ways, repetitions)
        found[units] = Timed(seconds["stock"], seconds["products"], {name: seconds[name] for name in names})
        shown = "; ".join(f"{name} {1e3 * min(own):.1f} ms" for name, own in seconds.items())
        print(f"hidden {units}: {shown}", flush=True)
    return found


def ratios(found: Mapping[int, Timed]) -> list[Ratio]:
    """Throughput of the engine over that of nn.LSTM."""
    return [
        Ratio(
            f"engine, 10 seeds, {name}, over nn.LSTM one seed at a time, hidden {units}",
            quotients(own.stock, seconds),
            TARGET if units in TARGETED else None,
        )
        for units, own in found.items()
        for name, seconds in own.engine.items()
    ]


def quick_ratios() -> list[Ratio]:
    """The ratios of a reduced measurement, for the regression guard."""
    pin()
    return ratios(measure([16, 64], ["tanh", "iris"], 7))


def text(found: Mapping[int, Timed]) -> str:
    """The section of the page below the ratios."""
    rows = []
    for units, own in found.items():
        tanh = own.engine["tanh"]
        rate = Spread.of([operations(units) / seconds / 1e9 for seconds in tanh])
        ceiling = Spread.of([operations(units) / seconds / 1e9 for seconds in own.products])
        rows.append(
            [
                str(units),
                *(f"{SEEDS * BATCH / Spread.of(values).median:,.0f}" for values in (own.stock, tanh, own.products)),
                rate.shown(),
                ceiling.shown(),
                quotients(own.products, tanh).shown(2),
                quotients(own.stock, own.products).shown(2),
            ]
        )
    header = {
        "hidden units": "--:",
        "`nn.LSTM`, sequences/s": "--:",
        "engine (tanh)": "--:",
        "products alone": "--:",
        "engine, GFLOP/s": "--:",
        "products alone, GFLOP/s": "--:",
        "engine / products": "--:",
        "products alone / `nn.LSTM`": "--:",
    }
    products = quotients(found[64].stock, found[64].products).median
    return "\n".join(
        [
            f"Forward and backward pass of one LSTM layer, {SEEDS} seeds, batch {BATCH}, {STEPS} time steps, "
            f"{FEATURES} features, one thread; {REPETITIONS} turns, one after another.",
            "",
            markdown_table(header, rows),
            "",
            "The last column is what could be reached at most if everything but the recurrent matrix products took "
            "no time: PyTorch's batched product (MKL), of 32 rows at a time, against `nn.LSTM`, which on the CPU is "
            f"one fused operation of oneDNN. At hidden 64 it is {products:.2f}. What is between it and the "
            "engine are the elementwise operations of the cell, each of which reads and writes its arrays once for "
            "every time step; a fused kernel needs none of that, but exists for one activation only.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and store what the standard measurement has found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sizes and repetitions, print only")
    if parser.parse_args(arguments).quick:
        for own in quick_ratios():
            print(" | ".join(own.row()))
        return
    pin()
    found = measure(UNITS, ACTIVATIONS, REPETITIONS)
    details = {
        "seconds": {units: asdict(own) for units, own in found.items()},
        "quick": [asdict(own) for own in quick_ratios()],
    }
    shown = text(found)
    print("\n".join(["", *(" | ".join(own.row()) for own in ratios(found)), "", shown]))
    store(PART, ratios(found), details, shown)


if __name__ == "__main__":
    main()
