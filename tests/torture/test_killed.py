"""A study that is killed at any moment goes on to the very same tables, records and MLflow runs."""

import re
import signal
import sys
import time

import pytest
from faults import running
from killing import after, blocks, discard, leftovers, moments, start, unfinished, wait

SECONDS_TO_LOSE = 60
"""The most training that a kill may cost; an epoch where that is shorter."""
GRACE = 30.0
"""Seconds within which a training that is told to stop has stored its checkpoint and is gone."""


@pytest.fixture
def projects(untouched, tmp_path):
    """Makes one fresh project after another."""

    def make(name):
        return untouched.copied(tmp_path / name)

    return make


def conclude(tally, kind, place, project, problem, note):
    tally.add(kind, place, not problem, note=problem or note)
    if problem:
        print(f"       kept: {project.root}")
    else:
        discard(project)


def test_sigkill_at_random_moments(undisturbed, projects, extent, tally):
    """Everything is killed at once, one time in five once more while it goes on."""
    costs = []
    times = moments(extent.generator(1), extent.trials, undisturbed.seconds)
    for trial, moment in enumerate(times):
        project, problems = projects(f"kill-{trial}"), []
        delays = [moment, *([moment / 2] if trial % 5 == 4 else [])]
        for again, delay in enumerate(delays):
            if again:
                unlock(project)
            with start(project, f"killed-{again}") as workflow:
                wait(workflow, delay)
                now = time.time()
                workflow.kill()
            costs += [own.unsaved(now) for own in blocks(project)]
            problems += unfinished(project)
        problem = after(undisturbed, project, problems)
        went_on = project.logs().count("goes on from its checkpoint")
        note = f"after {' and '.join(f'{delay:.1f} s' for delay in delays)}; {went_on} blocks went on"
        conclude(tally, "SIGKILL of everything", "study", project, problem, note)
    assert max(costs, default=0) <= SECONDS_TO_LOSE, costs
    print(f"       training lost by a kill: at most {max(costs, default=0):.1f} s")


def unlock(project):
    project.snakemake("--unlock", study="killed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_to_everything(undisturbed, projects, extent, tally, number):
    """Each job stores a checkpoint and ends."""
    for trial, moment in enumerate(moments(extent.generator(2, number), extent.share(5), undisturbed.seconds)):
        project = projects(f"{number.name}-{trial}")
        with start(project) as workflow:
            still = wait(workflow, moment)
            before = blocks(project)
            workflow.send(number)
            workflow.ended(GRACE)
        problems = unfinished(project)
        logs = project.logs()
        if "Traceback" in logs:
            problems.append(f"a traceback: {logs[-3000:]}")
        for block in before:
            stopped = blocks_of(project, block)
            if stopped and stopped[0].epochs and not stopped[0].checkpoints:
                problems.append(f"no checkpoint of {block.folder.name} after epoch {stopped[0].epochs}")
        problem = after(undisturbed, project, problems)
        note = f"after {moment:.1f} s{'' if still else ' (it had ended)'}; {len(before)} blocks were training"
        conclude(tally, f"{number.name} to everything", "study", project, problem, note)


def blocks_of(project, block):
    return [own for own in blocks(project) if own.folder == block.folder]


TRAINING = [
    *("train", "task=stock", "state=carried", "online=true", "trainer=one_pass", "model.hidden_size=4"),
    *("task.start='2010-01-01'", "task.train_end='2013-12-31'", "task.validation_end='2014-12-31'"),
    *("task.test_end='2015-12-31'", "seed=range(0,3)", "execution.tracking=false"),
]


@pytest.mark.parametrize(
    ("number", "code", "of_fifty"), [(signal.SIGTERM, 143, 10), (signal.SIGINT, 130, 5)], ids=["SIGTERM", "SIGINT"]
)
def test_a_signal_to_one_training(projects, extent, tally, number, code, of_fifty):
    """The signal comes in the middle of the one long epoch of a task that learns online; the same epoch goes on."""
    project = projects("one")
    began = time.monotonic()
    project.notafluke(*TRAINING)
    seconds, expected = time.monotonic() - began, digests(project)
    for trial, moment in enumerate(moments(extent.generator(3, number), extent.share(of_fifty), seconds)):
        problems, project = [], projects(f"one-{trial}")
        with running_training(project) as training:
            wait(training, moment)
            training.send(number)
            ended, text = training.ended(GRACE), training.text()
        in_training, finished = "training seeds" in text, len(project.runs()) == 3
        # Before the command begins and after it has ended, Python starts and ends: there the signal itself ends it.
        allowed = {code} | ({-number} if finished or not in_training else set()) | ({0} if finished else set())
        if ended not in allowed:
            problems.append(f"exit code {ended}")
        if in_training and "Traceback" in text:
            problems.append(f"a traceback: {text[-2000:]}")
        checkpoint = "checkpoint" if list(project.results.glob("runs/**/checkpoint-*")) else "no checkpoint"
        done = project.notafluke(*TRAINING, code=None)
        if done.code or digests(project) != expected:
            problems.append(f"another result: {done.output[-2000:]}")
        went_on = re.search(r"goes on from its checkpoint: (.*)", done.output)
        note = f"after {moment:.1f} s, {checkpoint}{', went on at ' + went_on[1] if went_on else ''}"
        problems += [f"left: {path}" for path in leftovers(project)]
        conclude(tally, f"{number.name} to one training", "online", project, "; ".join(problems), note)


def running_training(project):
    return running(["notafluke", *TRAINING], project.root, project.environment(), project.root / "training.log")


def digests(project):
    """Weight digest and metrics of every run by its folder."""
    return {path: (project.record(path)["weight_digest"], project.record(path)["metrics"]) for path in project.runs()}


OFTEN = """
import sys
import notafluke.checkpoints as checkpoints
from notafluke.cli import main
checkpoints.SECONDS_BETWEEN = 0.1
main()
"""


def test_sigkill_within_an_epoch(projects, extent, tally):
    """With a checkpoint every tenth of a second instead of every 30: whatever the step, the epoch goes on from it."""
    project = projects("within")
    began = time.monotonic()
    project.run(sys.executable, "-c", OFTEN, *TRAINING)
    seconds, expected = time.monotonic() - began, digests(project)
    for trial, moment in enumerate(moments(extent.generator(9), extent.share(10), 0.5 * seconds)):
        project = projects(f"within-{trial}")
        command = [sys.executable, "-c", OFTEN, *TRAINING]
        with running(command, project.root, project.environment(), project.root / "training.log") as training:
            wait(training, 0.5 * seconds + moment)
            training.kill()
        problems = unfinished(project)
        done = project.notafluke(*TRAINING, code=None)
        if done.code or digests(project) != expected:
            problems.append(f"another result: {done.output[-2000:]}")
        problems += [f"left: {path}" for path in leftovers(project)]
        went_on = re.findall(r"goes on from its checkpoint: (.*)", done.output)
        note = f"after {0.5 * seconds + moment:.1f} s{', went on at ' + went_on[0] if went_on else ''}"
        conclude(tally, "SIGKILL of one training", "online", project, "; ".join(problems), note)


def test_what_a_kill_costs_within_an_epoch(projects, extent, tally):
    """An epoch of minutes is killed once it has trained for more than a minute: the last checkpoint is not old."""
    size = ["task.length=4", "task.train_size=2000000", "task.validation_size=64", "task.test_size=64"]
    long = ["train", "task=adding", *size, "trainer.batch_size=16", "execution.tracking=false"]
    project = projects("long")
    with running(["notafluke", *long], project.root, project.environment(), project.root / "training.log") as training:
        wait(training, 65 + 25 * extent.generator(10).random())
        still, now = training.process.poll() is None, time.time()
        training.kill()
    kept = [path.stat().st_mtime for path in project.results.glob("runs/**/checkpoint-*.pt")]
    cost = now - max(kept, default=0)
    problem = "" if cost <= SECONDS_TO_LOSE else f"no checkpoint for {cost:.0f} s"
    note = f"{cost:.1f} s of training lost" if still else "the training had ended"
    tally.add("SIGKILL of one training", "a minute after its start", not problem, note=problem or note)
    assert still, "the training is too short for this test"
