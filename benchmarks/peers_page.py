"""The section of ``docs/performance.md`` that ``peers.py`` writes below its ratios."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from measuring import Spread, quotients
from pages import markdown_table
from reference_ways import ACTIVATIONS, CORES, OURS, RUNS, SEEDS

PROGRAM = "`benchmarks/peers/train_reference.py`"


def text_of(details: Mapping[str, Any]) -> str:
    """What was trained, how long it took, how that was found, and whether the scores are alike."""
    parts = [work(details), table(details), ways(details), extrapolation(details), alikeness(details), outside(details)]
    if "full" in details:
        full = details["full"]
        repetitions, day = len(full["seconds"][OURS]), full["measured"][:10]
        parts.append(
            f"Without extrapolation, all {RUNS} runs each way, {repetitions} {'time' if repetitions == 1 else 'times'} "
            f"(`--full`, {day}, commit {full['commit']}):"
        )
        parts.append(table(full))
    return "\n\n".join(parts)


def work(details: Mapping[str, Any]) -> str:
    """The reference work."""
    named = ", ".join(f"`{name}`" for name in ACTIVATIONS)
    return (
        f"{RUNS} runs: the adding problem over 32 steps, 2,000 training sequences, an LSTM of 64 units, batches of 32, "
        f"5 epochs of Adam; {named} with {SEEDS} seeds each. Every way logs to MLflow on SQLite once an epoch, "
        f"validates after each epoch and tests the best one. All on {CORES} cores, one repetition of all ways after "
        f"another, {len(details['seconds'][OURS])} in all."
    )


def table(details: Mapping[str, Any]) -> str:
    """A row for each way."""
    scores_of = f"median test MSE: {', '.join(ACTIVATIONS)}"
    header = {
        "way": ":--",
        "runs trained": "--:",
        f"seconds for {RUNS}": "--:",
        "seconds a run": "--:",
        "to ours": "--:",
    }
    header[scores_of] = "--:"
    rows = []
    for name, seconds in details["seconds"].items():
        scores = [f"{median(details['scores'][name][activation].values()):.3g}" for activation in ACTIVATIONS]
        spread, ratio = Spread.of(seconds), quotients(seconds, details["seconds"][OURS])
        trained = str(details["runs_a_repetition"][name])
        rows.append([name, trained, spread.shown(), f"{spread.median / RUNS:.2f}", ratio.shown(2), ", ".join(scores)])
    return markdown_table(header, rows)


def ways(details: Mapping[str, Any]) -> str:
    """What each way does."""
    threads = details["seconds_by_threads"]
    tuned = ", ".join(f"{seconds:.1f} s with {count}" for count, seconds in threads.items())
    return (
        "Seconds are wall time of the whole command, median (lowest-highest). Ours is `snakemake --cores 2` in a fresh "
        "copy: planning, checks, creating the MLflow database, training, tables and figures. The peers train one "
        f"program, {PROGRAM}: `nn.LSTM` for tanh; for the others a loop with one input projection for all steps and "
        "one recurrent product a step. Its batches are cut out of tensors, it writes no checkpoints and shows no "
        "progress; data and database were made beforehand, outside its time. Threads of the one process: "
        f"{min(threads, key=threads.get)} (a run of tanh and one of iris: {tuned}); of two processes: 1 each."
    )


def extrapolation(details: Mapping[str, Any]) -> str:
    """How the peers' seconds were found."""
    trained = next(count for name, count in details["runs_a_repetition"].items() if name != OURS)
    if trained == RUNS:
        return f"Every way trained all {RUNS} runs."
    return (
        f"**Extrapolated:** ours trains all {RUNS} runs in every repetition, a peer {trained}, "
        f"{trained // len(ACTIVATIONS)} seeds of each activation, other ones in each repetition. To the wall time of "
        f"these, start-up included, comes what {RUNS - trained} more runs take: the mean of its activation for each, "
        "without the first run of a process, shared by the workers. A process for each run pays its start-up in every "
        f"run: its wall time is taken {RUNS // trained} times."
    )


def alikeness(details: Mapping[str, Any]) -> str:
    """Whether all ways give the same scores."""
    adjusted = [p for own in details["adjusted_p"].values() for p in own.values()]
    compared = min(len(own) for scores in details["scores"].values() for own in scores.values())
    return (
        "**The same scores:** with the same weights both networks have the same outputs within 1e-5. First weights and "
        f"order of batches differ, so scores do: over {compared} seeds of each activation no peer's differ from ours "
        f"by more than chance (two-sided Mann-Whitney, smallest of {len(adjusted)} Holm-adjusted p: "
        f"{min(adjusted):.2g})."
    )


def outside(details: Mapping[str, Any]) -> str:
    """What the overhead outside training is."""
    both = list(zip(details["seconds"][OURS], details["training"], strict=True))
    training, wall = Spread.of([own for _, own in both]), Spread.of([all_ - own / CORES for all_, own in both])
    return (
        f"**Outside training:** (wall time x {CORES} cores - the seconds in the run records) / {RUNS} runs, so a core "
        f"that waits counts. The records' seconds are {training.shown(0)} together; with both cores always training "
        f"they would take half of that, and {wall.shown()} s of wall time are the rest: Snakemake, planning, imports, "
        "the database, tables and figures. What a job logs to MLflow while it trains is in the records' seconds."
    )
