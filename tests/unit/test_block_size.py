"""How many seeds train together: what pays, what fits into memory, and that the estimate of it is one."""

import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notafluke.training.block_size import BlockSize, fitting_size

PLENTY = 2**40


@given(st.integers(1, 40), st.integers(0, 100))
def test_blocks_hold_every_seed_once_in_order_and_differ_little(most: int, count: int) -> None:
    seeds = list(range(count))
    blocks = BlockSize(most).split(seeds)
    assert [seed for block in blocks for seed in block] == seeds
    assert all(1 <= len(block) <= most for block in blocks)
    # No more blocks than are needed, and only the last one smaller than the others.
    assert len(blocks) == -(-count // most)
    assert len({len(block) for block in blocks[:-1]}) <= 1


@pytest.mark.parametrize(
    ("count", "most", "sizes"),
    [(10, 20, [10]), (20, 12, [10, 10]), (13, 12, [8, 5]), (21, 20, [12, 9]), (3, 2, [2, 1]), (3, 1, [1, 1, 1])],
)
def test_the_sizes_of_blocks(count: int, most: int, sizes: Sequence[int]) -> None:
    assert [len(block) for block in BlockSize(most).split(list(range(count)))] == sizes


def test_small_networks_train_as_many_seeds_together_as_asked_for() -> None:
    assert fitting_size(20, 17_217, 50 * 2**20, PLENTY) == BlockSize(20)


def test_large_networks_train_fewer_seeds_together() -> None:
    found = fitting_size(20, 265_000, 50 * 2**20, PLENTY)
    assert found.seeds == 4
    assert "265,000 weights" in found.reason
    # One alone would be padded to two.
    assert fitting_size(20, 30_000_000, 50 * 2**20, PLENTY).seeds == 2


@given(st.integers(1, 64), st.integers(1, 10**8), st.integers(1, 2**40), st.integers(0, 2**40))
def test_what_trains_together_fits_into_memory(most: int, weights: int, bytes_a_seed: int, free: int) -> None:
    found = fitting_size(most, weights, bytes_a_seed, free)
    assert 1 <= found.seeds <= most
    assert found.seeds <= 2 or found.seeds * bytes_a_seed <= free
    assert bool(found.reason) == (found.seeds < most)


def test_short_memory_is_named() -> None:
    found = fitting_size(20, 1000, 2**30, 5 * 2**30)
    assert found.seeds == 4
    assert found.reason == "each takes about 1,024 MiB of the 5,120 MiB that a core may use"


MEASURED = """
import resource, sys
import psutil
from notafluke.training.determinism import pin_environment
pin_environment()
import torch
from notafluke import components
from notafluke.configuration import compose_run, conf_folder
from notafluke.training.block import SeedBlock
from notafluke.training.engine import fit
from notafluke.training.memory import bytes_of_seed

overrides = dict(text.split("=") for text in sys.argv[2:])
run = compose_run(conf_folder(), {"seed": "0", "trainer.max_epochs": "1", **overrides})
task, recipe = components.build_task(run.config), components.build_recipe(run.config)
task.prepare()

def block(seeds):
    return SeedBlock(recipe, task, seeds, 0, torch.device("cpu"))

estimated = bytes_of_seed(block([0]))
fit(block([0]), most_steps=2)
before = psutil.Process().memory_info().rss
several = block(list(range(int(sys.argv[1]))))
fit(several, most_steps=3)
several.finish()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(estimated, (peak - before) / len(several.streams))
"""


@pytest.mark.parametrize(
    "overrides",
    [
        ["task=adding", "model.hidden_size=64"],
        ["task=adding", "task.length=200", "model=gru", "model.hidden_size=128"],
        ["task=adding", "model.hidden_size=512"],
    ],
)
def test_the_estimate_of_a_seeds_memory_is_a_bound_of_what_a_process_takes(overrides: list[str]) -> None:
    """An evaluation of LSTM layers takes less than a batch of training suggests."""
    command = [sys.executable, "-c", MEASURED, "8", *overrides]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    estimated, measured = (float(number) for number in told.split())
    assert 0.8 * measured < estimated < 10 * measured
