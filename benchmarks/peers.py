"""The same 80 runs with notafluke and with what people do today: whole wall time, and that all give the same scores.

``python benchmarks/peers.py`` takes up to 15 minutes on two idle cores and writes the section ``peers`` of
``docs/performance.md``. ``--full`` trains all 80 runs each way in each repetition (up to an hour) and adds that to what
is stored. ``--quick`` takes two minutes at most and only prints.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch
from measuring import STORED, Ratio, Spread, commit, interleaved, quotients, store
from peers_page import text_of
from reference_ways import (
    ACTIVATIONS,
    CORES,
    OURS,
    PEERS,
    RUNS,
    SEEDS,
    Scores,
    Trained,
    basic,
    fastest_threads,
    joblib,
    ours,
    prepare,
    processes,
)
from scipy.stats import mannwhitneyu

from notafluke.nn import activations
from notafluke.nn.recurrent import LSTM
from notafluke.stats.multiplicity import holm

SEEDS_OF_PEERS = 4
QUICK_SEEDS = 4
TARGETS = {"Hydra, one process": 5.0, "Hydra, joblib launcher": 4.0, "a process for each run": 10.0}
MOST_OVERHEAD = 0.3
LEAST_P = 0.01
"""An adjusted p below it counts as another distribution of scores."""

Way = Callable[[Sequence[int], str], Trained]


class Measurement:
    """Trains all ways, one repetition after another; remembers the scores and what is told of each invocation."""

    def __init__(self, threads: int, repetitions: int, seeds_of_peers: int) -> None:
        self.repetitions, self.seeds_of_peers = repetitions, seeds_of_peers
        self.ways: dict[str, Way] = {
            OURS: ours,
            "Hydra, one process": partial(basic, threads=threads, planned=SEEDS),
            "Hydra, joblib launcher": partial(joblib, planned=SEEDS),
            "a process for each run": partial(processes, planned=SEEDS),
        }
        self.scores: dict[str, dict[str, dict[int, float]]] = {name: {} for name in self.ways}
        self.training: list[float] = []
        self.done = dict.fromkeys(self.ways, 0)
        self.seconds = interleaved({name: partial(self.train, name) for name in self.ways}, repetitions)

    def seeds_of(self, name: str, repetition: int) -> range:
        """Our seeds are all; the peers go on with other ones in each repetition."""
        count = SEEDS if name == OURS else self.seeds_of_peers
        first = repetition * count % SEEDS
        return range(first, first + count)

    def train(self, name: str) -> float:
        """Train one repetition of one way; the seconds that all runs take."""
        repetition = self.done[name]
        seeds, began = self.seeds_of(name, repetition), time.perf_counter()
        found = self.ways[name](seeds, f"{repetition + 1}-{name.replace(', ', '-').replace(' ', '-')}")
        took = time.perf_counter() - began
        print(f"{repetition + 1}: {name}: {len(seeds) * len(ACTIVATIONS)} runs in {took:.0f} s", flush=True)
        self.done[name] += 1
        for activation, own in found.scores.items():
            self.scores[name].setdefault(activation, {}).update(own)
        if name == OURS:
            self.training.append(found.training)
        return found.seconds

    def details(self) -> dict[str, Any]:
        """What is stored: seconds and scores by way, and how alike the scores are."""
        trained = {name: len(self.seeds_of(name, 0)) * len(ACTIVATIONS) for name in self.ways}
        return {
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "runs_a_repetition": trained,
            "seconds": self.seconds,
            "training": self.training,
            "scores": self.scores,
            "adjusted_p": alike(self.scores),
        }

    def ratios(self) -> list[Ratio]:
        """The peers over ours, and our time outside training."""
        own = self.seconds[OURS]
        found = [
            Ratio(f"{name} / notafluke", quotients(self.seconds[name], own), target, guarded=False)
            for name, target in TARGETS.items()
        ]
        both = zip(own, self.training, strict=True)
        outside = Spread.of([(CORES * seconds - training) / RUNS for seconds, training in both])
        name = "notafluke: core seconds outside training, a run"
        return [*found, Ratio(name, outside, MOST_OVERHEAD, at_most=True, guarded=False)]


def alike(scores: Mapping[str, Scores]) -> dict[str, dict[str, float]]:
    """Holm-adjusted p of a two-sided Mann-Whitney test, by peer and activation: ours against theirs, same seeds."""
    pairs = [(name, activation) for name in TARGETS for activation in ACTIVATIONS]
    values = []
    for name, activation in pairs:
        theirs = scores[name][activation]
        own = [scores[OURS][activation][seed] for seed in theirs]
        values.append(mannwhitneyu(own, list(theirs.values())).pvalue)
    found: dict[str, dict[str, float]] = {name: {} for name in TARGETS}
    for (name, activation), p in zip(pairs, holm(values), strict=True):
        found[name][activation] = float(p)
    return found


def require_alike(adjusted: Mapping[str, Mapping[str, float]]) -> None:
    """End the program where scores differ by more than chance."""
    for name, own in adjusted.items():
        for activation, p in own.items():
            if p < LEAST_P:
                raise SystemExit(f"{activation}: {name} and notafluke give other test scores (adjusted p {p:.2g})")


def require_same_function() -> None:
    """End the program unless a peer's network with our weights has our outputs, for every activation."""
    sys.path.insert(0, str(PEERS))
    from train_reference import new_layer

    inputs = torch.rand(32, 32, 2)
    for activation in ACTIVATIONS:
        network = LSTM(2, 1, getattr(activations, activation), 64, 1, 1.0, False, 0.0)
        for number, (name, _) in enumerate(network.named_parameters()):
            network.initialise(name, torch.Generator().manual_seed(number))
        layer, (own,) = new_layer(activation, 2, 64, 1.0), network.layers
        # Both kinds of the peers' layers hold them in another order: told apart by their shapes.
        theirs = sorted((p for p in layer.parameters() if p.requires_grad), key=lambda p: (p.dim(), p.shape[-1]))
        with torch.no_grad():
            for parameter, value in zip(theirs, (own.bias, own.input_weight, own.recurrent_weight), strict=True):
                parameter.copy_(value)
            difference = (network.head(layer(inputs)) - network(inputs)[:, -1]).abs().max().item()
        if difference > 1e-5:
            raise SystemExit(f"{activation}: the peers' network computes something else, by {difference:.2g}")
        print(f"{activation}: the same outputs from the same weights, within {difference:.1g}", flush=True)


def quick() -> Ratio:
    """The ratio that the guard compares: processor seconds a run, start-up included, of few runs.

    They are steadier than wall time where the machine has other work.
    """
    few = processor_seconds(partial(ours, range(QUICK_SEEDS), "quick-notafluke")) / QUICK_SEEDS
    print(f"quick: notafluke: {few / len(ACTIVATIONS):.2f} processor seconds a run", flush=True)
    one = processor_seconds(partial(basic, range(1), "quick-basic"))
    print(f"quick: Hydra, one process: {one / len(ACTIVATIONS):.2f} processor seconds a run", flush=True)
    counts = f"{len(ACTIVATIONS)} runs / notafluke, {QUICK_SEEDS * len(ACTIVATIONS)} runs"
    return Ratio(f"Hydra, one process, {counts}: processor seconds a run", Spread.of([one / few]))


def quick_ratios() -> list[Ratio]:
    """The ratios of a reduced measurement, for the regression guard."""
    prepare(range(QUICK_SEEDS))
    return [quick()]


def processor_seconds(train: Callable[[], Trained]) -> float:
    """What the processes that it starts, and theirs, use of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    train()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure_standard(repetitions: int) -> None:
    """Measure, check, and write JSON and page; a full measurement that is stored stays."""
    threads = fastest_threads("threads")
    print(f"one process, seconds by threads: {threads}", flush=True)
    guarded = quick()
    found = Measurement(int(min(threads, key=threads.get)), repetitions, SEEDS_OF_PEERS)
    details = {"seconds_by_threads": threads, **found.details()}
    require_alike(details["adjusted_p"])
    before = STORED / "peers.json"
    if before.exists() and (full := json.loads(before.read_text(encoding="utf-8"))["details"].get("full")):
        details["full"] = full
    store("peers", [*found.ratios(), guarded], details, text_of(details))


def measure_full(repetitions: int) -> None:
    """Train all runs each way and add it to what is stored of the standard measurement, which stays as it was."""
    path = STORED / "peers.json"
    if not path.exists():
        raise SystemExit("measure the standard one first: python benchmarks/peers.py")
    before = json.loads(path.read_text(encoding="utf-8"))
    threads = before["details"]["seconds_by_threads"]
    found = Measurement(int(min(threads, key=threads.get)), repetitions, SEEDS)
    full = found.details()
    require_alike(full["adjusted_p"])
    details = before["details"] | {"full": full}
    ratios = [Ratio(**{**own, "value": Spread(**own["value"])}) for own in before["ratios"]]
    store("peers", ratios, details, text_of(details))
    # The ratios are of then.
    kept = json.loads(path.read_text(encoding="utf-8")) | {
        key: before[key] for key in ("measured", "commit", "machine")
    }
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Prepare, check that all compute the same, measure."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], epilog="Example: python benchmarks/peers.py --quick"
    )
    parser.add_argument("--quick", action="store_true", help="few runs, once; prints the ratio, stores nothing")
    parser.add_argument("--full", action="store_true", help="all runs each way, added to what is stored")
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    began = time.perf_counter()
    prepare(range(SEEDS))
    print(f"data and database made in {time.perf_counter() - began:.0f} s", flush=True)
    require_same_function()
    if arguments.quick:
        print(" | ".join(quick().row()))
    elif arguments.full:
        measure_full(arguments.repetitions)
    else:
        measure_standard(arguments.repetitions)
    print(f"done in {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
