"""Mutated inputs of all parsers: each reads them or refuses them with a UsageError."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from parsers import Fuzzed, fuzz_studies, fuzz_tables

OF_FIFTY = 10_000
PROCESSES = 2


@pytest.mark.parametrize(("place", "fuzz"), [("study parser", fuzz_studies), ("CSV readers", fuzz_tables)])
def test_mutated_inputs(tmp_path, extent, tally, place, fuzz):
    count, fuzzed = extent.share(OF_FIFTY), Fuzzed()
    parts = [range(first, count, PROCESSES) for first in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        started = [pool.submit(fuzz, tmp_path / str(part.start), part, extent.seed) for part in parts]
        for part in started:
            fuzzed.add(part.result())
    assert fuzzed.tried() == count
    for fault in fuzzed.faults[:20]:
        print(f"       {fault[:500]}")
    note = f"{sum(fuzzed.read.values())} read, {sum(fuzzed.refused.values())} refused in one line"
    tally.add("mutated input", place, count - len(fuzzed.faults), count, note)
