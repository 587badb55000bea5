"""The largest network: ``python benchmarks/earthquake.py`` measures steps of ``earthquake_full``.

Five layers of 512 units on the published grid of 16,471 cells, online with one day a step. Measures what memory allows
(a triad on one thread, in the same run), the engine's step and the same step in plain PyTorch, taking turns, each on
one thread; memory while 1,000 steps are made; and whether a network is really gone afterwards. It writes
``benchmarks/results/performance/earthquake.json`` and its section of ``docs/performance.md``. ``--quick`` takes a
narrower network and prints only.

Example: python benchmarks/earthquake.py --quick
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import shutil
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from measuring import Ratio, Spread, quotients, store
from pages import BENCHMARKS, CACHE, markdown_table

from notafluke.training.determinism import pin_environment, pin_torch

pin_environment()
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from notafluke import components  # noqa: E402
from notafluke.configuration import compose_run  # noqa: E402
from notafluke.tasks.base import Task  # noqa: E402
from notafluke.training.block import SeedBlock  # noqa: E402
from notafluke.training.engine import fit  # noqa: E402
from notafluke.training.recipe import Recipe  # noqa: E402

PART = "earthquake"
FOLDER = CACHE / PART
FIRST_DAY = np.datetime64("2001-01-01")
QUAKES_A_DAY = 20
SAMPLE_EVERY = 50
DEPTH = 5
GRID = 16_471
LONG_SECONDS = 120.0
"""The look at memory makes fewer steps where all would take longer."""
COPIES = 18
"""So many times its weights the engine's process takes at most (measured at 128 and 512 units, an odd block padded)."""


@dataclass(frozen=True)
class Size:
    """How much is measured: the width, steps of a turn, turns; the width and steps of the look at memory."""

    hidden: int
    steps: int
    turns: int
    long_hidden: int
    long_steps: int


STANDARD = Size(hidden=512, steps=3, turns=2, long_hidden=16, long_steps=1000)
QUICK = Size(hidden=16, steps=4, turns=2, long_hidden=4, long_steps=100)


def say(begun: float, text: str) -> None:
    """One line of progress."""
    print(f"{time.monotonic() - begun:6.1f} s  {text}", flush=True)


def catalogue(folder: Path, days: int) -> Path:
    """Invented earthquakes in the form of the USGS service, some for every day."""
    generator = np.random.default_rng(0)
    lines = ["time,latitude,longitude,mag,magType,id"]
    for day in np.arange(FIRST_DAY, FIRST_DAY + days):
        for number in range(QUAKES_A_DAY):
            latitude, longitude = generator.uniform(-90, 90), generator.uniform(-180, 180)
            magnitude = 4.5 + generator.exponential(0.4)
            when = f"{day}T{number:02d}:00:00.000Z"
            lines.append(f"{when},{latitude:.3f},{longitude:.3f},{magnitude:.2f},mw,xx{day}-{number}")
    path = folder / "catalogue.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def parts(hidden: int, days: int, source: Path) -> tuple[Task, Recipe]:
    """Task and recipe of ``earthquake_full`` as configured, on so many days of an invented catalogue."""
    ends = {"train_end": days + 1, "validation_end": days + 3, "test_end": days + 5}
    overrides = {
        "task": "earthquake_full",
        "model": "lstm_dense_residual",
        "model.hidden_size": str(hidden),
        "model.depth": str(DEPTH),
        "online": "true",
        "task.source": str(source),
        "task.start": f"'{FIRST_DAY}'",
        "execution.results": str(FOLDER / "results"),
        "execution.tracking": "false",
    } | {f"task.{name}": f"'{FIRST_DAY + offset}'" for name, offset in ends.items()}
    config = compose_run(BENCHMARKS.parent / "conf", overrides).config
    return components.build_task(config), components.build_recipe(config)


# ------------------------------------------------------------------------------------------------------------ memory


def resident() -> float:
    """Bytes of this process in memory, after what is free has been given back."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return float(pages * 4096)


def bandwidth(mebibytes: int = 256, repetitions: int = 5) -> float:
    """Bytes a second of a triad ``a = b + s * c`` in arrays much larger than a cache: two are read, one is written."""
    a, b, c = (torch.ones(mebibytes * 2**18) for _ in range(3))
    seconds = []
    for _ in range(repetitions + 1):
        begin = time.perf_counter()
        torch.add(b, c, alpha=0.5, out=a)
        seconds.append(time.perf_counter() - begin)
    return 3 * a.nbytes / min(seconds[1:])


# ------------------------------------------------------------------------------------------------------------- steps


@dataclass
class Watch:
    """Seconds of each step and memory now and then."""

    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def step(self, make: Callable[[], Any]) -> None:
        """Make a step and time it."""
        begin = time.perf_counter()
        make()
        self.seconds.append(time.perf_counter() - begin)
        if len(self.seconds) % SAMPLE_EVERY == 0:
            self.memory.append(resident())


class WatchedBlock(SeedBlock):
    """The engine's block of one seed, whose training is its steps alone."""

    watch: Watch

    def training_step(self, step: int) -> None:
        """See SeedBlock."""
        self.watch.step(lambda: super(WatchedBlock, self).training_step(step))

    def on_train_epoch_end(self) -> None:
        """No validation."""


@dataclass(frozen=True)
class Engine:
    """What a turn of the engine has shown; memory in bytes, before there was a network, with it, and without it."""

    watch: Watch
    streams: int
    weights: int
    before: float
    during: float
    after: float
    freed: bool


def engine_steps(task: Task, recipe: Recipe, steps: int) -> Engine:
    """Train a block of one seed for some steps by Lightning, as always, and let it go."""
    before, watch = resident(), Watch()
    block = WatchedBlock(recipe, task, [0], 0, torch.device("cpu"))
    block.watch = watch
    fit(block, most_steps=steps)
    streams, weights = len(block.streams), sum(own[0].numel() for own in block.stacked)
    during, alive = resident(), weakref.ref(block)
    del block
    gc.collect()
    return Engine(watch, streams, weights, before, during, resident(), alive() is None)


class Plain(nn.Module):
    """The same network of PyTorch's own layers: what one writes without notafluke."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        sizes = [inputs + hidden * (number + (number >= 2)) for number in range(DEPTH)]
        self.layers = nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in sizes)
        self.head = nn.Linear(hidden, inputs)

    def forward(self, inputs: Tensor, states: list[Any]) -> tuple[Tensor, list[Any]]:
        """Outputs, and the states after them."""
        seen, residual, after = [inputs], inputs, []
        for number, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            features = [residual, *seen] if number >= 2 else seen
            hidden, new_state = layer(torch.cat(features, dim=-1), state)
            residual = residual + hidden if number else hidden
            seen = [hidden, *seen]
            after.append(tuple(part.detach() for part in new_state))
        return self.head(seen[0]), after


def plain_steps(task: Task, hidden: int, steps: int, fused: bool) -> Watch:
    """The same steps in plain PyTorch: one day, mean squared error, clipped norm, Adam."""
    data, watch = task.load(0, 0).train, Watch()
    days, truths = torch.from_numpy(data.inputs), torch.from_numpy(data.targets)
    torch.manual_seed(0)
    model = Plain(task.input_size, hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=fused)
    states: list[Any] = [None] * DEPTH

    def step(day: int) -> None:
        nonlocal states
        outputs, states = model(days[day : day + 1], states)
        optimizer.zero_grad()
        nn.functional.mse_loss(outputs[:, -1], truths[day : day + 1]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    for day in range(steps):
        watch.step(lambda day=day: step(day))
    return watch


# ------------------------------------------------------------------------------------------------------ measurements


def bytes_a_step(hidden: int) -> tuple[int, float]:
    """Weights of one network, and the bytes that one step must read and write (see FORMULA)."""
    features = [GRID + hidden * (number + (number >= 2)) for number in range(DEPTH)]
    head = GRID * (hidden + 1)
    weights = sum(4 * hidden * (own + hidden + 1) for own in features) + head
    backward = sum(4 * hidden * (own - GRID) for own in features) + GRID * hidden
    return weights, 4.0 * (weights * (1 + 1 + 1 + 4 + 3) + backward)


FORMULA = (
    "a step reads the weights W for the prediction, reads those B that pass the gradient on (the head, and what the "
    "layers see of each other), writes the gradient W, reads it for its norm W, and in Adam's update reads weight, "
    "gradient and both moments 4 W and writes weight and moments 3 W: (10 W + B) numbers of 4 bytes"
)


def without_first(watch: Watch) -> float:
    """Median seconds of a step; the first one makes the optimizer's memory."""
    return Spread.of(watch.seconds[1:]).median


def slope(watch: Watch) -> float:
    """Bytes that a further step adds, by least squares; the first sample is not looked at."""
    values = watch.memory[1:]
    return float(np.polyfit(np.arange(len(values)) * SAMPLE_EVERY, values, 1)[0]) if len(values) > 2 else 0.0


def fitting(size: Size) -> Size:
    """The size, narrower where the machine has too little memory free for it."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    hidden = size.hidden
    while 4 * COPIES * bytes_a_step(hidden)[0] > free:
        hidden //= 2
    if hidden < size.hidden:
        print(f"hidden_size={hidden} in place of {size.hidden}: {free / 2**30:.0f} GiB of memory are free", flush=True)
    return replace(size, hidden=hidden)


@dataclass(frozen=True)
class Measured:
    """Everything: a value a turn, and the look at memory."""

    size: Size
    bandwidth: list[float]
    engines: list[Engine]
    plain: list[float]
    fused: list[float]
    long: Engine


def measure(size: Size) -> Measured:
    """Measure all of it, with a line for each step."""
    begun = time.monotonic()
    pin_torch()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    days = max(size.steps, size.long_steps)
    source = catalogue(FOLDER, days + 6)
    task, recipe = parts(size.long_hidden, days, source)
    task.load(0, 0)
    say(begun, f"{days} invented days on {task.input_size:,} cells")
    probe = engine_steps(task, recipe, 6)
    steps = min(size.long_steps, int(LONG_SECONDS / without_first(probe.watch)))
    steps = max(steps // SAMPLE_EVERY, 2) * SAMPLE_EVERY
    long = engine_steps(task, recipe, steps)
    say(begun, f"memory over {steps:,} steps at hidden_size={size.long_hidden}: {slope(long.watch):+,.0f} bytes a step")
    found = Measured(size, [], [], [], [], long)
    task, recipe = parts(size.hidden, days, source)
    for turn in range(size.turns):
        found.bandwidth.append(bandwidth())
        found.engines.append(engine_steps(task, recipe, size.steps))
        for fused, own in ((False, found.plain), (True, found.fused)):
            own.append(without_first(plain_steps(task, size.hidden, size.steps, fused)))
            gc.collect()
        ours = without_first(found.engines[-1].watch)
        told = f"engine {ours:.3g} s a step, plain {found.plain[-1]:.3g} s, fused {found.fused[-1]:.3g} s"
        say(begun, f"turn {turn + 1} of {size.turns}: {found.bandwidth[-1] / 1e9:.1f} GB/s, {told}")
    return found


def ratios(found: Measured) -> list[Ratio]:
    """The engine against what memory allows and against plain PyTorch."""
    moved = bytes_a_step(found.size.hidden)[1]
    ours = [without_first(own.watch) for own in found.engines]
    least = [moved / own for own in found.bandwidth]
    size = f"`hidden_size={found.size.hidden}`"
    return [
        Ratio(f"share of the memory bandwidth, {size}", quotients(least, ours)),
        Ratio(f"steps a second, engine / plain PyTorch, {size}", quotients(found.plain, ours)),
        Ratio(f"steps a second, engine / plain PyTorch with fused Adam, {size}", quotients(found.fused, ours)),
    ]


def text(found: Measured) -> str:
    """The section of the page below the ratios."""
    weights, moved = bytes_a_step(found.size.hidden)
    engine = found.engines[-1]
    if weights != engine.weights:
        raise SystemExit(f"the formula counts {weights:,} weights, the network has {engine.weights:,}")
    ours = Spread.of([without_first(own.watch) for own in found.engines])
    least = Spread.of([moved / own for own in found.bandwidth])
    header = {"what makes the step": ":--", "seconds a step": "--:", "steps a second": "--:"}
    spreads = {
        "the engine": ours,
        "plain PyTorch: `nn.LSTM`, `torch.optim.Adam`": Spread.of(found.plain),
        "the same with `Adam(fused=True)`": Spread.of(found.fused),
        "what memory allows": least,
    }
    rows = [[name, own.shown(3), f"{1 / own.median:.3g}"] for name, own in spreads.items()]
    padded = f", computed for {engine.streams} seeds (an odd block is padded)" if engine.streams > 1 else ""
    long, steps = found.long, len(found.long.watch.seconds)
    grown = long.watch.memory[-1] - long.watch.memory[1] if len(long.watch.memory) > 2 else 0.0
    freed = [own for own in [long, *found.engines] if own.freed]
    return "\n".join(
        [
            f"`task=earthquake_full model=lstm_dense_residual model.hidden_size={found.size.hidden} online=true`, one "
            f"seed{padded}, one thread, {found.size.turns} turns of {found.size.steps} steps, the first of each not "
            f"counted. The days are invented ({QUAKES_A_DAY} earthquakes a day), the grid of {GRID:,} cells, the code "
            "that reads it and the options are the real ones. The peer is the same network of PyTorch's own layers on "
            "one sample, with the norm clipped alike.",
            "",
            markdown_table(header, rows),
            "",
            f"Bytes: {FORMULA}. Here W = {weights:,} weights ({4 * weights / 1e9:.2f} GB), so {moved / 1e9:.1f} GB a "
            f"step. A triad in arrays of 256 MiB moves {Spread.of(found.bandwidth).median / 1e9:.1f} GB/s on one "
            "thread.",
            "",
            f"Memory: over {steps:,} steps at `hidden_size={found.size.long_hidden}`, looked at every {SAMPLE_EVERY}, "
            f"it grew by {grown / 2**20:+.1f} MiB ({slope(long.watch):+,.0f} bytes a step). The network at "
            f"`hidden_size={found.size.hidden}` takes {(engine.during - engine.before) / 2**30:.1f} GiB while it "
            f"trains; afterwards the process has {(engine.after - engine.before) / 2**20:+.0f} MiB against before, and "
            f"{len(freed)} of {1 + len(found.engines)} networks were gone (weak references).",
        ]
    )


def details(found: Measured) -> Mapping[str, Any]:
    """The numbers behind the text."""
    return {
        "hidden_size": found.size.hidden,
        "weights": bytes_a_step(found.size.hidden)[0],
        "bytes_a_step": bytes_a_step(found.size.hidden)[1],
        "bandwidth": found.bandwidth,
        "engine_seconds": [own.watch.seconds for own in found.engines],
        "plain_seconds": found.plain,
        "fused_seconds": found.fused,
        "memory": [[own.before, own.during, own.after, own.freed] for own in found.engines],
        "long": {"hidden_size": found.size.long_hidden, "seconds": sum(found.long.watch.seconds)},
        "long_memory": found.long.watch.memory,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and store what the standard measurement has found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a narrower network, print only")
    parser.add_argument("--steps", type=int, help="of the look at memory")
    given = parser.parse_args(arguments)
    size = QUICK if given.quick else STANDARD
    if given.steps:
        size = replace(size, long_steps=given.steps)
    found = measure(fitting(size))
    shown = text(found)
    print("\n".join(["", *(" | ".join(own.row()) for own in ratios(found)), "", shown]))
    if not given.quick:
        store(PART, ratios(found), details(found), shown)


if __name__ == "__main__":
    main()
