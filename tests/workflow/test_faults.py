"""The quick part of the fault tests: a training that is killed or told to stop goes on to the very same weights.

The others, thousands of faults, are in tests/torture: `make torture`.
"""

import base64
import signal
import sys
import time
from unittest import mock

import numpy as np
import pytest
from faults import running
from mutations import damage as damaged
from parsers import fuzz_studies, fuzz_tables

from notafluke.cli import main
from notafluke.records import damage
from notafluke.workflow import tell_of_full_disk

GRACE = 60
# One long epoch: a task that learns online.
TRAINING = [
    *("train", "task=stock", "state=carried", "online=true", "trainer=one_pass", "model.hidden_size=4"),
    *("task.start='2012-01-01'", "task.train_end='2013-12-31'", "task.validation_end='2014-12-31'"),
    *("task.test_end='2015-12-31'", "seed=0,1", "execution.tracking=false"),
]
# The command with a checkpoint every tenth of a second instead of every 30.
OFTEN = """
import sys
import notafluke.checkpoints as checkpoints
from notafluke.cli import main
checkpoints.SECONDS_BETWEEN = 0.1
main()
"""


@pytest.fixture(scope="module")
def undisturbed(checkout, tmp_path_factory):
    """The weight digests of a training that nothing has disturbed."""
    project = checkout.copied(tmp_path_factory.mktemp("undisturbed") / "project")
    project.notafluke(*TRAINING)
    return digests(project)


def digests(project):
    return {path: (project.record(path)["weight_digest"], project.record(path)["metrics"]) for path in project.runs()}


def wait_until(training, condition):
    """Wait for something while a training runs."""
    deadline = time.monotonic() + GRACE
    while not condition():
        assert training.process.poll() is None, training.text()
        assert time.monotonic() < deadline, training.text()
        time.sleep(0.01)


def test_a_training_that_is_killed_and_then_told_to_stop_ends_in_the_same_weights(pristine, undisturbed):
    def start(name, *command):
        return running(command, pristine.root, pristine.environment(), pristine.root / name)

    def checkpoints():
        return list(pristine.results.glob("runs/*/*/checkpoint-*.pt"))

    with start("killed.log", sys.executable, "-c", OFTEN, *TRAINING) as training:
        wait_until(training, checkpoints)
        training.kill()
    assert pristine.runs() == {}, "nothing looks finished"

    before = checkpoints()[0].read_bytes()
    with start("stopped.log", "notafluke", *TRAINING) as training:
        wait_until(training, lambda: "goes on from its checkpoint: epoch 1, step" in training.text())
        training.send(signal.SIGTERM)
        code, text = training.ended(GRACE), training.text()
    assert code == 128 + signal.SIGTERM, text
    assert text.splitlines()[-1].startswith("stopped by SIGTERM") and "Traceback" not in text
    assert checkpoints()[0].read_bytes() != before
    assert pristine.runs() == {}

    assert "goes on from its checkpoint: epoch 1, step" in pristine.notafluke(*TRAINING).output
    assert digests(pristine) == undisturbed
    assert not checkpoints() and not list(pristine.results.rglob("*.tmp"))


def test_a_damaged_file_of_a_run_is_not_counted(project):
    (path, *_) = project.of_arm("control")
    folder = (project.root / path).parent
    for name in ("metrics.json", "history.csv", "predictions.npz"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(damaged(np.random.default_rng(1), whole[:-3]))
        assert damage(folder) == f"{name} is damaged"
        (folder / name).write_bytes(whole)
    assert damage(folder) == ""
    (folder / "predictions.npz").write_bytes(b"")
    done = project.within(main, "decide", "tiny")
    assert list(project.significance()["verdict"]) == ["incomplete", "incomplete"]
    assert f"{folder.relative_to(project.root)}: predictions.npz is damaged" in done.output


def test_an_input_that_is_made_again_keeps_nothing_else_from_running(project):
    """Killed when the input was there and snakemake had not noted it yet.

    Snakemake forgets whatever depends on an `ancient` input that is made again (its issue 4166), and ends with 0.
    """
    ready = project.results / ".tracking-ready"
    marker = base64.urlsafe_b64encode(ready.relative_to(project.root).as_posix().encode()).decode()
    (project.root / ".snakemake" / "incomplete" / marker).write_text('{"external_jobid": null}', encoding="utf-8")
    (path, *_) = project.of_arm("control")
    (project.root / path).unlink()
    plan = project.snakemake("-n").stdout
    assert "creating the MLflow database" in plan, "it is made again"
    assert "(1 of 3 seeds missing)" in plan and "deciding the claims of tiny" in plan


def test_a_full_disk_is_told_where_the_logs_cannot(tmp_path, monkeypatch):
    told = []
    tell_of_full_disk(tmp_path / "results" / "none yet", told.append)
    assert told == []
    monkeypatch.setattr("shutil.disk_usage", lambda place: mock.Mock(free=4096 if place == tmp_path else 1 << 40))
    tell_of_full_disk(tmp_path / "results" / "none yet", told.append)
    assert len(told) == 1 and told[0].startswith("No space left on device: ")


RECORDED = """
import sys
from notafluke.cli import main
sys.argv = ["notafluke", "train-cells", "tiny", *sys.argv[1:]]
try:
    main()
finally:
    print(sorted({"torch", "pytorch_lightning", "mlflow"} & set(sys.modules)))
"""


def test_a_job_that_finds_all_its_runs_recorded_ends_at_once(project):
    before = project.runs()
    folders = sorted({path.rpartition("/seed=")[0] for path in before})
    done = project.run(sys.executable, "-c", RECORDED, *folders)
    assert done.output.count("all 3 runs are recorded already") == 3
    assert done.stdout.splitlines()[-1] == "[]", "seconds of imports, for nothing"
    assert project.runs() == before


@pytest.mark.parametrize(("fuzz", "count"), [(fuzz_studies, 25), (fuzz_tables, 300)], ids=["studies", "tables"])
def test_mutated_inputs_are_read_or_refused_in_one_line(tmp_path, fuzz, count):
    fuzzed = fuzz(tmp_path, range(100_000, 100_000 + count), seed=0)
    assert fuzzed.faults == []
    assert fuzzed.tried() == count and sum(fuzzed.read.values()) and sum(fuzzed.refused.values())
