"""The price of a seed: ``python benchmarks/seeds.py`` trains one, ten and thirty seeds of a cell, of several widths.

The cell is an LSTM on the adding problem (length 32, batch 32), trained by the engine as `notafluke` does it: one
thread, the seeds in blocks of the size that the engine chooses. A second table shows what a seed costs in blocks of
other sizes, the measurement behind the engine's rule. It writes ``benchmarks/results/performance/seeds.json`` and its
section of ``docs/performance.md``. ``--quick`` measures small networks only and prints.

Example: python benchmarks/seeds.py --quick
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from measuring import Ratio, Spread, interleaved, quotients, store
from pages import markdown_table

PART = "seeds"
STEPS = {16: 40, 32: 40, 64: 20, 128: 10, 256: 6}
"""Optimizer steps of a training, by hidden units."""
BLOCKS = (2, 4, 8, 12, 20)
TARGETS = {16: 2.5, 32: 2.5, 64: 5.0}
REPETITIONS = 3


class Cell:
    """A cell of the adding problem with so many hidden units."""

    def __init__(self, units: int) -> None:
        from notafluke import components
        from notafluke.configuration import compose_run, conf_folder

        settings = {"task.length": 32, "task.train_size": 32 * STEPS[units], "task.validation_size": 64}
        settings |= {"task.test_size": 64, "trainer.max_epochs": 1, "trainer.batch_size": 32}
        settings |= {"model.hidden_size": units, "seed": 0}
        overrides = {"task": "adding", "model": "lstm", **{key: str(value) for key, value in settings.items()}}
        run = compose_run(conf_folder(), overrides)
        self.task, self.recipe = components.build_task(run.config), components.build_recipe(run.config)
        self.most_together = run.config["execution"]["block_size"]

    def blocks(self, seeds: int) -> list[Sequence[int]]:
        """The blocks that the engine chooses."""
        from notafluke.training.block_size import choose_block_size

        own = range(seeds)
        return choose_block_size(self.recipe, self.task, own, 0, self.most_together).split(own)

    def seconds(self, blocks: Sequence[Sequence[int]], device: str = "cpu") -> float:
        """How long the blocks train, one after another."""
        from notafluke.training.engine import train_block

        began = time.perf_counter()
        for seeds in blocks:
            train_block(self.recipe, self.task, seeds, 0, device=device)
        return time.perf_counter() - began


def measure(
    widths: Sequence[int], counts: Sequence[int], repetitions: int, device: str = "cpu"
) -> dict[int, dict[int, list[float]]]:
    """Seconds of so many seeds, by hidden units; on a GPU in blocks of `execution.block_size`."""
    from notafluke.training.block_size import BlockSize

    found = {}
    for units in widths:
        cell = Cell(units)
        ways: dict[str, Callable[[], float]] = {}
        for count in counts:
            blocks = cell.blocks(count) if device == "cpu" else BlockSize(cell.most_together).split(range(count))
            cell.seconds(blocks[:1], device)
            ways[str(count)] = lambda cell=cell, blocks=blocks: cell.seconds(blocks, device)
        found[units] = {int(name): values for name, values in interleaved(ways, repetitions).items()}
        print(f"hidden {units}: {'; '.join(f'{n} seeds {min(v):.2f} s' for n, v in found[units].items())}", flush=True)
    return found


def measure_blocks(widths: Sequence[int], repetitions: int) -> dict[int, dict[int, Spread]]:
    """Milliseconds of a step of one seed in blocks of several sizes, by hidden units."""
    found = {}
    for units in widths:
        cell = Cell(units)
        ways = {str(size): lambda cell=cell, size=size: cell.seconds([range(size)]) for size in BLOCKS}
        seconds = interleaved(ways, repetitions)
        found[units] = {
            size: Spread.of([1e3 * own / size / STEPS[units] for own in seconds[str(size)]]) for size in BLOCKS
        }
        print(f"hidden {units}: {'; '.join(f'{n} {v.median:.2f} ms' for n, v in found[units].items())}", flush=True)
    return found


def ratios(found: Mapping[int, Mapping[int, Sequence[float]]], where: str = "") -> list[Ratio]:
    """The time of several seeds over that of one."""
    return [
        Ratio(f"{count} seeds over 1 seed, hidden {units}{where}", quotients(own[count], own[1]), target, at_most=True)
        for units, own in found.items()
        for count in own
        if count > 1
        for target in (TARGETS.get(units) if count == 10 and not where else None,)
    ]


def quick_ratios() -> list[Ratio]:
    """The ratios of a reduced measurement, for the regression guard."""
    pin()
    return ratios(measure([16, 64], [1, 10], 3))


def pin() -> None:
    """Set the process up as a training is."""
    from notafluke.training.determinism import pin_environment

    pin_environment()


def text(blocks: Mapping[int, Mapping[int, Spread]], on_gpu: bool) -> str:
    """The section of the page below the ratios."""
    chosen = {units: len(Cell(units).blocks(60)[0]) for units in blocks}
    rows = [
        [
            str(units),
            *(f"**{own[size].median:.2f}**" if size == _best(own) else f"{own[size].median:.2f}" for size in BLOCKS),
            str(chosen[units]),
        ]
        for units, own in blocks.items()
    ]
    header = {"hidden units": "--:", **{f"blocks of {size}": "--:" for size in BLOCKS}, "the engine takes": "--:"}
    return "\n".join(
        [
            "One training of an LSTM on the adding problem (length 32, batch 32; "
            f"{', '.join(f'{steps} steps at hidden {units}' for units, steps in STEPS.items())}), data, set-up, "
            f"validation and test included, on one thread; {REPETITIONS} turns. One seed alone trains as a block of "
            "two, the second a copy, because it must come out to the same bits as in a block: so it costs as much as "
            "two.",
            "",
            "Milliseconds of an optimizer step for each seed, by the size of the block (the best is bold):",
            "",
            markdown_table(header, rows),
            "",
            "The rule of the engine: as many seeds together as `execution.block_size` says, but no more than have "
            "1.3 million weights together, as beyond that they are no faster, and no more than fit into three "
            "quarters of the free memory of a core, by an estimate from one forward pass. The log says where it "
            "takes fewer.",
            "",
            "The rows that name the GPU are measured on it, in blocks of `execution.block_size`."
            if on_gpu
            else "On a GPU: not measured, the machine has none. The benchmark measures it where there is one.",
        ]
    )


def _best(own: Mapping[int, Spread]) -> int:
    return min(own, key=lambda size: own[size].median)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and store what the standard measurement has found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small networks, fewer repetitions, print only")
    if parser.parse_args(arguments).quick:
        for own in quick_ratios():
            print(" | ".join(own.row()))
        return
    pin()
    import torch

    counts = [1, 10, 30]
    found = measure(list(STEPS), counts, REPETITIONS)
    on_gpu = measure(list(STEPS), counts, REPETITIONS, "cuda") if torch.cuda.is_available() else {}
    blocks = measure_blocks(list(STEPS), REPETITIONS)
    details: dict[str, Any] = {
        "seconds": found,
        "seconds on the GPU": on_gpu,
        "quick": [asdict(own) for own in quick_ratios()],
    }
    details["milliseconds of a step and seed"] = {
        units: {size: asdict(own) for size, own in by_size.items()} for units, by_size in blocks.items()
    }
    shown, all_ratios = text(blocks, bool(on_gpu)), [*ratios(found), *ratios(on_gpu, ", on the GPU")]
    print("\n".join(["", *(" | ".join(own.row()) for own in all_ratios), "", shown]))
    store(PART, all_ratios, details, shown)


if __name__ == "__main__":
    main()
