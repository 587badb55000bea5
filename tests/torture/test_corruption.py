"""Stored files that are damaged: noticed by their digest, remade or refused, never used."""

import contextlib
import json
import logging
import shutil
from pathlib import Path

import pytest
from killing import CELLS, RUNS, discard, resume, start, state_of
from mutations import damage as damaged

from notafluke.check_cache import CheckCache
from notafluke.checkpoints import Block, Stored, checkpoint_content, read_checkpoint
from notafluke.checksums import without_checksum
from notafluke.errors import UsageError
from notafluke.plan import CHECKS, load_plan
from notafluke.records import damage, read_record
from notafluke.registration import cautions, register, registered_study
from notafluke.scores import collect
from notafluke.tasks.dataset import read_prepared
from notafluke.tasks.stock_prices import StockPrices
from notafluke.tracking.shown import remembered_runs
from notafluke.tuning import read_tuning

OF_FIFTY = 300
"""Damages of each kind of file, where there are 50 trials."""


@pytest.fixture
def copy(undisturbed, tmp_path, monkeypatch):
    """A copy of the trained study, which is the working folder."""
    project = undisturbed.project.copied(tmp_path / "copy")
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(logging.root, "handlers", [])
    logging.getLogger("notafluke").setLevel(logging.ERROR)
    yield project
    logging.getLogger("notafluke").setLevel(logging.NOTSET)
    discard(project)


def try_each(extent, tally, place, files, is_survived):
    """Damage one of the files after the other; ``is_survived(file)`` says whether that is noticed or without effect."""
    survived, count = 0, extent.share(OF_FIFTY)
    for trial in range(count):
        rng = extent.generator(4, trial)
        file = Path(files[trial % len(files)])
        whole = file.read_bytes()
        file.write_bytes(damaged(rng, whole))
        try:
            survived += bool(is_survived(file))
        except UsageError as error:
            survived += "\n" not in str(error)
        finally:
            file.write_bytes(whole)
    tally.add("damage of a file, by the library", place, survived, count)


def all_files(project, pattern):
    files = sorted(project.results.glob(pattern))
    assert files, pattern
    return files


@pytest.mark.parametrize("name", ["metrics.json", "history.csv", "predictions.npz", "config.yaml"])
def test_run_records(copy, extent, tally, name):
    """The run is said to be damaged and is not counted."""

    def survived(file):
        # White space at the end of metrics.json says nothing.
        return damage(file.parent) or (read_record(file.parent) == before[file] and name == "metrics.json")

    files = all_files(copy, f"runs/*/*/seed=*/{name}")
    before = {file: read_record(file.parent) for file in files}
    try_each(extent, tally, name, files, survived)


def test_damaged_records_are_not_counted(copy, extent, tally):
    """Not by the scores either: the row is one run short, the others are what they were."""
    plan = load_plan("killed", [])
    before = collect(plan).scores
    survived, count = 0, extent.share(20)
    names = ("metrics.json", "history.csv", "predictions.npz")
    files = [path for name in names for path in all_files(copy, f"runs/*/*/seed=*/{name}")]
    for trial in range(count):
        rng = extent.generator(5, trial)
        file = files[int(rng.integers(len(files)))]
        whole = file.read_bytes()
        # The last bytes of metrics.json are white space.
        file.write_bytes(damaged(rng, whole[:-3]))
        scores = collect(plan).scores
        lacking = before[~before["run_key"].isin(scores["run_key"])]
        rest = before[before["run_key"].isin(scores["run_key"])].reset_index(drop=True)
        survived += lacking["run_key"].nunique() == 1 and rest.equals(scores)
        file.write_bytes(whole)
    tally.add("damage of a file, by the library", "scores of a study", survived, count)


def test_tuning(copy, extent, tally):
    """It is chosen anew."""
    files = all_files(copy, "runs/*/*/tuning.json")
    assert len(files) == CELLS
    keys = {file: json.loads(file.read_text(encoding="utf-8"))["cell_key"] for file in files}
    before = {file: read_tuning(file.parent, keys[file]) for file in files}
    assert None not in before.values()
    try_each(
        extent, tally, "tuning.json", files, lambda file: read_tuning(file.parent, keys[file]) in (None, before[file])
    )


def test_plan_cache(copy, extent, tally):
    """It is made again."""
    plan = load_plan("killed", [])
    files = sorted(Path(".snakemake/notafluke").glob("plan-*.json"))
    newest = max(files, key=lambda path: path.stat().st_mtime)
    count, survived = extent.share(30), 0
    whole = newest.read_bytes()
    for trial in range(count):
        newest.write_bytes(damaged(extent.generator(6, trial), whole))
        survived += load_plan("killed", []) == plan
        newest.write_bytes(whole)
    tally.add("damage of a file, by the library", "plan cache", survived, count)


def test_check_cache(copy, extent, tally):
    """Nothing is believed of it, so that what was tried is tried again."""
    load_plan("killed", [])
    count, survived = extent.share(300), 0
    whole, known = CHECKS.read_bytes(), CheckCache(CHECKS).known
    assert known
    for trial in range(count):
        CHECKS.write_bytes(damaged(extent.generator(11, trial), whole))
        survived += CheckCache(CHECKS).known in ({}, known)
        CHECKS.write_bytes(whole)
    tally.add("damage of a file, by the library", "list of cells that were tried", survived, count)


@pytest.mark.parametrize("name", ["arrays.npz", "provenance.json"])
def test_prepared_data(copy, extent, tally, name):
    """They are prepared again."""
    dataset, results = StockPrices("arch"), Path("results")
    before = read_prepared(dataset, results)
    assert before is not None

    def survived(file):
        found = read_prepared(dataset, results)
        return found is None or (
            found.facts == before.facts
            and found.arrays.keys() == before.arrays.keys()
            and all((found.arrays[key] == own).all() for key, own in before.arrays.items())
        )

    try_each(extent, tally, f"data/{name}", [dataset.folder(results) / name], survived)


@pytest.mark.parametrize("name", ["registered.yaml", "looks.jsonl"])
def test_registration_and_looks(copy, extent, tally, name):
    """A registration is refused; of looks it is told that some may be missing."""
    plan = load_plan("killed", [])
    assert cautions(plan) == []
    file = plan.folder / name
    registered, looks = without_checksum(registered_study(plan)), file.read_bytes()

    def survived(path):
        register(plan)
        if cautions(plan):
            return True
        # White space and quotes may go, and the end of the last line.
        same = without_checksum(registered_study(plan)) == registered
        return same and (name == "registered.yaml" or path.read_bytes().rstrip() == looks.rstrip())

    try_each(extent, tally, name, [file], survived)


def test_shown_runs(copy, extent, tally):
    """A line that is damaged is left out, no other run or folder takes its place."""
    results = Path("results")
    before = remembered_runs(results)["killed"]
    assert len(before) == RUNS

    def survived(file):
        found = remembered_runs(results)
        return found.keys() <= {"killed"} and found.get("killed", {}).items() <= before.items()

    try_each(extent, tally, "experiments.jsonl", [results / "experiments.jsonl"], survived)


def test_checkpoints(tmp_path, extent, tally):
    """The block starts again."""
    import torch

    block = Block("0" * 64, "training", (0, 1))
    state = {"epoch": 3, "step": 7, "pretraining": False, "weights": [torch.arange(6.0).reshape(2, 3)], "memory": []}
    file = tmp_path / block.file_name
    file.write_bytes(checkpoint_content(Stored(block, "AVX2", state)))
    assert read_checkpoint(file) is not None
    logging.getLogger("notafluke").setLevel(logging.ERROR)
    try:
        try_each(extent, tally, "checkpoint", [file], lambda path: read_checkpoint(path) is None)
    finally:
        logging.getLogger("notafluke").setLevel(logging.NOTSET)


def test_at_the_front_door(undisturbed, untouched, tmp_path, extent, tally):
    """A study is killed in the middle, some of what it left is damaged, and it goes on to the same tables."""
    for trial in range(extent.share(5)):
        rng = extent.generator(7, trial)
        project = untouched.copied(tmp_path / f"damaged-{trial}")
        with start(project) as workflow:
            deadline = undisturbed.seconds * (0.4 + 0.5 * rng.random())
            with contextlib.suppress(Exception):
                workflow.process.wait(deadline)
            workflow.kill()
        patterns = {
            "checkpoint": "results/runs/*/*/checkpoint-*.pt",
            "tuning.json": "results/runs/*/*/tuning.json",
            "plan cache": ".snakemake/notafluke/plan-*.json",
            "metrics.json": "results/runs/*/*/seed=*/metrics.json",
            "predictions.npz": "results/runs/*/*/seed=*/predictions.npz",
            "data": "results/data/*/arrays.npz",
        }
        hit = []
        for name, pattern in patterns.items():
            files = sorted(project.root.glob(pattern))
            if files:
                file = files[int(rng.integers(len(files)))]
                file.write_bytes(damaged(rng, file.read_bytes().rstrip()))
                hit.append(name)
        problem = finish_damaged(undisturbed, project)
        tally.add("damage of files, at the front door", "killed study", not problem, note=problem or ", ".join(hit))
        if not problem:
            shutil.rmtree(project.root)


def finish_damaged(undisturbed, project):
    """Go on, following the advice of the messages; what differs from the undisturbed study in the end."""
    done = resume(project)
    if done.code:
        return f"it did not go on: {done.output[-2000:]}{project.logs()[-3000:]}"
    for path in project.runs():
        folder = (project.root / path).parent
        if damage(folder):
            # As the tables advise.
            shutil.rmtree(folder)
    done = resume(project)
    if done.code:
        return f"it did not go on: {done.output[-2000:]}{project.logs()[-3000:]}"
    try:
        return "; ".join(undisturbed.state.differences(state_of(project)))
    except AssertionError as error:
        return str(error)
