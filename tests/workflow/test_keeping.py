"""`notafluke status`, `retry`, `prune` and `unlock` on a finished study; no secret in anything that is written."""

import io
import json
import os
import shutil
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

from notafluke import cli, configuration, locks, retrying, train
from notafluke.checkpoints import Block, Stored, checkpoint_content
from notafluke.checksums import is_whole
from notafluke.names import DATABASE, RESERVED
from notafluke.records import RunRecord, damage, read_record, record_text

COUNTS = {"ok": 0, "diverged": 0, "crashed": 0, "timeout": 0, "damaged": 0, "missing": 0}


def status(project):
    return json.loads(project.within(cli.main, "status", "tiny", "--json").stdout)


def rewritten(project, path, **changes):
    """Make a record say something else, as if training had ended so."""
    folder = (project.root / path).parent
    record = read_record(folder)
    (folder / "metrics.json").write_text(record_text(RunRecord(**{**vars(record), **changes})))


def edit_betas(project, old, new):
    """An edit as before another process: this one forgets what it has composed."""
    project.edit("conf/optimizer/adam.yaml", f"betas: [0.9, {old}]", f"betas: [0.9, {new}]")
    configuration._composed.cache_clear()


def checkpoint(folder, cell_key, seeds, epoch=0):
    """As training leaves one; its state is of no interest here."""
    block = Block(cell_key, "training", tuple(seeds))
    state = {"pretraining": False, "epoch": epoch, "step": 0}
    (folder / block.file_name).write_bytes(checkpoint_content(Stored(block, "AVX2", state)))
    return folder / block.file_name


def broken(project):
    """Of nine runs: one crashed, one timed out, one diverged, two damaged and one that is gone."""
    control, iris = project.of_arm("control"), project.of_arm("activation=iris")
    rewritten(project, control[0], outcome="crashed", reason="OSError: a cable", metrics={})
    rewritten(project, control[1], outcome="timeout", reason="60 s are over", metrics={})
    rewritten(project, control[2], outcome="diverged", reason="loss not finite in epoch 1", metrics={})
    (project.root / iris[0]).with_name("history.csv").write_text("epoch\n")
    (project.root / iris[1]).write_text((project.root / iris[1]).read_text().replace('"seed"', '"seeed"'))
    (project.root / iris[2]).unlink()
    return control, iris


def test_a_finished_study(project):
    done = project.within(cli.main, "status", "tiny")
    assert "tiny: 9 runs, all done" in done.stdout and done.stdout.rstrip().endswith("notafluke show tiny")
    assert status(project)["counts"] == {**COUNTS, "ok": 9}
    assert "nothing to do" in project.within(cli.main, "retry", "tiny").stdout
    assert project.within(cli.main, "prune").stdout == "nothing to remove\n"
    assert project.within(cli.main, "unlock").stdout == "there is no lock\n"
    assert project.within(cli.main, "unlock", "--check").output == ""
    names = {path.name.lower() for path in project.results.iterdir() if not path.name.startswith(".")}
    assert {name for name in names if not name.startswith(DATABASE)} - set(RESERVED) == {"tiny"}, (
        "reserve it in names.py"
    )


def test_status_and_retry(project):
    control, iris = broken(project)
    folder = (project.root / iris[0]).parents[1]
    key = read_record((project.root / project.of_arm("replica=1")[0]).parent).cell_key
    checkpoint(folder, key, (1, 2), epoch=4)
    (folder / "checkpoint-0a1b2c3d.pt").touch()
    before = project.tree()

    found = status(project)
    assert found["runs"] == 9
    assert found["counts"] == {"ok": 3, "diverged": 1, "crashed": 1, "timeout": 1, "damaged": 2, "missing": 1}
    assert {(run["arm"], run["seed"]): (run["state"], run["reason"]) for run in found["not_ok"]} == {
        ("control", 0): ("crashed", "OSError: a cable"),
        ("control", 1): ("timeout", "60 s are over"),
        ("control", 2): ("diverged", "loss not finite in epoch 1"),
        ("activation=iris", 0): ("damaged", "history.csv is damaged"),
        ("activation=iris", 1): ("damaged", "metrics.json is damaged"),
        ("activation=iris", 2): ("missing", ""),
    }
    assert sorted((own["seeds"], own["where"]) for own in found["unfinished"]) == [
        ([], "damaged, so it starts again"),
        ([1, 2], "epoch 5, step 0"),
    ]
    assert found["commands"] == ["notafluke retry tiny", "snakemake --cores all --config study=tiny"]
    text = project.within(cli.main, "status", "tiny").stdout
    for words in (
        "seeds 1,2: has come to epoch 5, step 0 at 20",
        "1 crashed: OSError: a cable (control seed 0)",
        "9 runs, 5 to train",
        "notafluke retry tiny",
    ):
        assert words in text

    for outcome in ("ok", "diverged", "crashd", "missing"):
        (line,) = project.within(cli.main, "retry", "tiny", "--outcome", outcome, code=2).stderr.splitlines()
        assert line.startswith(f"error: --outcome {outcome}: ")
    assert project.tree() == before

    project.within(cli.main, "retry", "tiny", "--outcome", "timeout")
    assert status(project)["counts"] == {"ok": 3, "diverged": 1, "crashed": 1, "timeout": 0, "damaged": 2, "missing": 2}
    done = project.within(cli.main, "retry", "tiny")
    assert done.stdout.splitlines()[-1] == "3 runs are missing now; train them with: " + found["commands"][-1]
    assert status(project)["counts"] == {**COUNTS, "ok": 3, "diverged": 1, "missing": 5}
    kept = [
        json.loads(line) for line in (project.root / control[0]).with_name("failures.jsonl").read_text().splitlines()
    ]
    assert [(own["outcome"], own["reason"], own["seed"]) for own in kept] == [("crashed", "OSError: a cable", 0)]
    assert not (project.root / control[2]).with_name("failures.jsonl").exists()


def test_what_was_taken_back_is_trained_again(project):
    control, _ = broken(project)
    project.within(cli.main, "retry", "tiny")
    project.within(cli.main, "train-cells", "tiny", str(Path(control[0]).parents[1]))
    assert status(project)["counts"] == {**COUNTS, "ok": 5, "diverged": 1, "missing": 3}
    assert (project.root / control[0]).with_name("failures.jsonl").exists()
    assert all(damage((project.root / path).parent) == "" for path in project.runs())


def failures(project, path):
    file = (project.root / path).with_name("failures.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]


def test_a_retry_that_is_cut_off_adds_each_line_once(project):
    """Also that of a damaged record, and after a line that is damaged itself."""
    control, iris = broken(project)
    paths = (control[0], iris[0], iris[1])
    (project.root / control[0]).with_name("failures.jsonl").write_bytes(b'{"outcome": "cra\xff')
    with mock.patch.object(retrying.Path, "unlink", side_effect=OSError(5, "Input/output error")):
        for _ in range(3):
            project.within(cli.main, "retry", "tiny", "--outcome", "crashed", code=1)
            project.within(cli.main, "retry", "tiny", "--outcome", "damaged", code=1)
    project.within(cli.main, "retry", "tiny")
    for path in paths:
        lines = (project.root / path).with_name("failures.jsonl").read_text().splitlines()
        assert is_whole(json.loads(lines[-1])) and len(lines) == (2 if path == control[0] else 1)
    assert status(project)["counts"]["missing"] == 5

    # The same damage of another record is another failure.
    project.within(cli.main, "train-cells", "tiny", str(Path(iris[0]).parents[1]))
    (project.root / iris[0]).with_name("history.csv").write_text("epoch\n")
    project.within(cli.main, "retry", "tiny")
    assert [own["reason"] for own in failures(project, iris[0])] == ["history.csv is damaged"] * 2


@pytest.mark.parametrize(
    ("file", "lacking", "told"),
    [
        ("tables/significance.html", "decided", "all trained, not decided"),
        (".tracking-synchronised", "synchronised", "all trained and decided, but MLflow may lack some of it"),
    ],
)
def test_trained_is_not_finished(project, file, lacking, told):
    project.edit("conf/config.yaml", "tracking: false", "tracking: true")
    path = project.results / "tiny" / file
    os.utime(path, (0, 0))
    for _ in range(2):
        found = status(project)
        assert [own for own in ("decided", "synchronised") if not found[own]] == [lacking]
        assert found["commands"] == ["snakemake --cores all --config study=tiny"]
        text = project.within(cli.main, "status", "tiny").stdout
        assert f"tiny: 9 runs, {told}" in text and found["commands"][0] in text
        path.unlink(missing_ok=True)


def test_without_tracking_nothing_waits_for_mlflow(project):
    (project.results / "tiny" / ".tracking-synchronised").unlink()
    found = status(project)
    assert found["decided"] and found["synchronised"] and found["commands"] == ["notafluke show tiny"]


def test_a_locked_folder_is_explained_and_unlocked(project):
    """Snakemake's own lock is there, as after kill -9, and a run is missing."""
    (path, *_) = project.of_arm("control")
    (project.root / path).unlink()
    lock = project.root / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(f"{path}\n")
    assert status(project)["commands"] == ["notafluke unlock", "snakemake --cores all --config study=tiny"]

    (hint,) = project.within(cli.main, "unlock", "--check").stdout.splitlines()
    assert "`make unlock`" in hint and "nothing recorded is lost" in hint and lock.exists()
    assert "unlocked" in project.within(cli.main, "unlock").stdout and not lock.exists()
    assert status(project)["commands"] == ["snakemake --cores all --config study=tiny"]


def test_prune_lists_asks_and_removes_what_is_stale(project):
    """An option of the optimizer changes: all nine runs are stale, and found again when the edit is undone."""
    kept = project.runs()
    temporary = project.results / "runs" / ".half.tmp"
    young = project.results / ".young.tmp"
    for file in (temporary, young):
        file.touch()
    os.utime(temporary, (time.time() - 7200,) * 2)
    edit_betas(project, "0.999", "0.99")
    found = status(project)
    assert found["counts"] == {**COUNTS, "missing": 9}
    assert sum(own["runs"] for own in found["stale"]) == 9

    assert "has 3 stale runs, of older code" in project.within(cli.main, "status", "tiny").stdout
    before = project.tree("results")
    with mock.patch.object(sys, "stdin", io.StringIO()):
        done = project.within(cli.main, "prune", code=2)
    assert "nothing removed" in done.stderr and "--yes" in done.stderr and project.tree("results") == before
    lines = done.stdout.splitlines()
    assert sum("stale, 3 runs: results/runs/adding/" in line for line in lines) == 3
    assert sum("(not of the present configuration)" in line for line in lines) == 3
    assert lines[0].startswith("Every recorded run is stale. Is this an older checkout")
    assert sum("left over: results/runs/.half.tmp" in line for line in lines) == 1
    assert "after an edit is undone" in lines[-1]

    edit_betas(project, "0.99", "0.999")
    done = project.within(cli.main, "prune", "--yes")
    assert "stale" not in done.stdout and not temporary.exists() and young.exists() and project.runs() == kept

    edit_betas(project, "0.999", "0.99")
    done = project.within(cli.main, "prune", "tiny", "--yes")
    assert "notafluke track rebuild" in done.stdout and project.runs() == {}
    assert (project.results / "tiny" / "registered.yaml").exists()


def test_prune_removes_checkpoints_that_nothing_goes_on_from(project):
    """Of recorded seeds, of an older key and damaged ones; one with a seed that is still to train stays."""
    (path, *_) = project.of_arm("activation=iris")
    record, folder = read_record((project.root / path).parent), (project.root / path).parents[1]
    gone = [checkpoint(folder, record.cell_key, (0, 1)), checkpoint(folder, "0" * 64, (7,))]
    gone.append(folder / "checkpoint-ffffffff.pt")
    gone[-1].write_bytes(gone[0].read_bytes()[:-1])
    kept = checkpoint(folder, record.cell_key, (2, 3))
    before = project.runs()
    lines = project.within(cli.main, "prune", "--yes").stdout.splitlines()
    assert [line.partition(".pt ")[2] for line in lines if "checkpoint: " in line] and len(lines) == 5
    for reason in ("its seeds are recorded", "of older code", "it is damaged"):
        assert sum(reason in line for line in lines) == 1
    assert kept.exists() and not any(own.exists() for own in gone) and project.runs() == before


def test_prune_looks_again_after_the_answer(project):
    """A snakemake that was started while the question stood there."""
    broken(project)
    workers = mock.Mock(side_effect=[[], [locks.Worker(7, "snakemake")]])
    terminal = io.StringIO("y\n")
    terminal.isatty = lambda: True
    before = project.tree("results")
    with mock.patch.object(locks, "workers", workers), mock.patch.object(sys, "stdin", terminal):
        done = project.within(cli.main, "prune", code=2)
    assert "Remove them? (only processes of this machine are seen)" in done.stdout
    assert "not while snakemake (process 7) works" in done.stderr and project.tree("results") == before


def test_prune_keeps_what_cannot_be_judged_here(project, monkeypatch):
    """The environment differs: a variable is missing, is a secret, or a module is no longer trusted or installed."""
    runs, file = project.runs(), project.root / "conf/activation/iris.yaml"
    text = file.read_text(encoding="utf-8")
    monkeypatch.setenv("HERE_TOKEN", "http://me:pw@host")
    for change in ("more: ${oc.env:NOT_HERE}", "more: ${nothing}", "more: ${oc.env:HERE_TOKEN}", "_target_: no_such.f"):
        replaced = text.replace("notafluke.nn.activations.iris", "no_such.f") if "_target_" in change else text + change
        file.write_text(f"{replaced}\n", encoding="utf-8")
        configuration._composed.cache_clear()
        done = project.within(cli.main, "prune", "--yes")
        assert done.stdout.count("kept, cannot say whether it is stale: ") == 1 and "pw@" not in done.output
        assert project.runs() == runs


def test_prune_of_a_damaged_run_keeps_its_earlier_failures(project):
    _, iris = broken(project)
    (project.root / iris[0]).with_name("failures.jsonl").write_text("{}\n")
    project.within(cli.main, "prune", "--yes")
    assert [path.name for path in (project.root / iris[0]).parent.iterdir()] == ["failures.jsonl"]
    assert not (project.root / iris[1]).parent.exists()
    assert status(project)["counts"]["missing"] == 3


@pytest.mark.parametrize("how", ["broken yaml", "data gone", "damaged", "option gone", "function gone", "key gone"])
def test_prune_is_careful(project, how):
    """A configuration that cannot be read now removes nothing; an option that is gone makes its runs stale."""
    if how == "broken yaml":
        project.edit("conf/activation/gelu.yaml", "_target_", "\t_target_")
        assert "conf/activation/gelu.yaml" in project.within(cli.main, "prune", "--yes", code=2).stderr
        assert len(project.runs()) == 9
    elif how == "data gone":
        (path, *_) = project.of_arm("control")
        rewritten(project, path, task="stock", changes={"task.source": "gone.csv"})
        done = project.within(cli.main, "prune", "--yes")
        assert "cannot say whether it is stale" in done.stdout and "gone.csv" in done.stdout
        assert len(project.runs()) == 9
    elif how == "damaged":
        broken(project)
        done = project.within(cli.main, "prune", "--yes")
        assert done.stdout.count("damaged, 1 run") == 2 and len(project.runs()) == 6
    elif how == "function gone":
        project.edit("conf/activation/iris.yaml", "notafluke.nn.activations.iris", "notafluke.nn.activations.gone")
        done = project.within(cli.main, "prune", "--yes")
        assert "no source file defines notafluke.nn.activations.gone" in done.stdout and len(project.runs()) == 6
    elif how == "key gone":
        (path, *_) = project.of_arm("control")
        rewritten(project, path, changes={"optimizer.warmup": "3"})
        done = project.within(cli.main, "prune", "--yes")
        assert "unknown key optimizer.warmup" in done.stdout and len(project.runs()) == 8
    else:
        shutil.move(project.root / "conf/activation/iris.yaml", project.root / "conf/activation/iris2.yaml")
        done = project.within(cli.main, "prune", "--yes")
        assert done.stdout.count("unknown option activation=iris") == 1 and len(project.runs()) == 6


TELLTALE = """
import os
import torch
from notafluke.streams import torch_seed

SEEN = []

def tell(x):
    SEEN.append(x)
    if len(SEEN) > LIMIT:
        raise ValueError(f"no {os.environ['MY_API_TOKEN']} at {os.environ['MLFLOW_TRACKING_URI']}")
    return torch.tanh(x)
"""
OPTION = "description: d\nsource: s\n_target_: telltale_{limit}.tell\n_partial_: true\n"


@pytest.mark.parametrize(
    "uri", ["http://me:hunter22password@127.0.0.1:9", "sqlite:///results/mlflow.db?password=hunter22password"]
)
def test_no_secret_is_told_or_stored(project, tiny_cell, monkeypatch, uri):
    """A component that raises with both, in a run that logs to MLflow: to a server that is not there, and to a file."""
    token = "sesame0pen1t"
    limit = 200 if uri.startswith("http") else 201
    settings = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
    for name, value in {"MLFLOW_TRACKING_URI": uri, "MY_API_TOKEN": token, **settings}.items():
        monkeypatch.setenv(name, value)
    project.write(f"telltale_{limit}.py", TELLTALE.replace("LIMIT", str(limit)))
    project.write("conf/activation/telltale.yaml", OPTION.format(limit=limit))
    cell = [*tiny_cell, "activation=telltale", "execution.tracking=true", "trainer.max_epochs=9"]
    done = project.within(train.main, *cell, "seed=0")
    (path,) = (path for path in project.runs() if "telltale" in path)
    record = project.record(path)
    assert record["outcome"] == "crashed" and record["reason"].startswith("ValueError: no *** at ")
    project.within(cli.main, "decide", "tiny")
    assert "Traceback" in done.output
    for text in [
        done.output,
        *(file.read_bytes().decode("latin-1") for file in project.results.rglob("*") if file.is_file()),
    ]:
        assert token not in text and "hunter22password" not in text
