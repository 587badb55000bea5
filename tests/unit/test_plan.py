"""Plans: run keys that are a run's content and nothing else, folders that are safe names, and the cache."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notafluke import components
from notafluke import plan as plan_module
from notafluke.check_cache import CheckCache
from notafluke.configuration import RunConfig, compose_run, override_text, overrides_by_key
from notafluke.errors import UsageError
from notafluke.plan import LABEL_LENGTH, Cell, Plan, load_plan, make_cell, make_plan
from notafluke.train import train_cell

CONF = Path(__file__).parents[2] / "conf"
SMALL = {"task": "adding", "task.length": "6", "task.train_size": "20"}


def cell(conf: Path, *overrides: str) -> Cell:
    return make_cell(compose_run(conf, overrides_by_key(overrides)))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def write_study(conf: Path, name: str = "tiny", **content: Any) -> str:
    base: dict[str, Any] = {
        "tasks": {"adding": {"task.length": 6, "task.train_size": 20}},
        "sweep": {"activation": "tanh,iris", "seed": "range(0,2)"},
        "claims": {"iris": {"sentence": "iris beats tanh", "treatment": "activation=iris", "sesoi": "2%"}},
    }
    text = yaml.safe_dump(base | content, sort_keys=False)
    (conf / "study" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return name


def write_prices(path: Path, scale: float = 1.0) -> Path:
    """Closing prices of 400 days, a random walk."""
    steps = np.random.default_rng(0).normal(0, 0.01, 400)
    days = [date(2001, 1, 1) + timedelta(days=number) for number in range(400)]
    rows = [f"{day.isoformat()},{price:.6f}" for day, price in zip(days, scale * np.exp(np.cumsum(steps)), strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("Date,Close\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def priced(path: Path | str) -> list[str]:
    return [
        "task=stock",
        f"task.source={override_text(str(path))}",
        "task.train_end=2001-06-30",
        "task.validation_end=2001-09-30",
        "task.test_end=2001-12-31",
    ]


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def checks() -> CheckCache:
    """What one test has tried, the next need not try again."""
    return CheckCache()


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a tiny study is planned; not to be changed."""
    folder = tmp_path_factory.mktemp("planned").resolve()
    shutil.copytree(CONF, folder / "conf")
    write_study(folder / "conf")
    with contextlib.chdir(folder):
        load_plan("tiny")
    return folder


class TestKey:
    @pytest.mark.parametrize(
        "overrides",
        [
            "execution.block_size=3",
            "execution.tracking=false",
            "execution.retrain=true",
            "execution.results=elsewhere",
            "seed=5",
            "task=stock",
            "activation=tanh",
            "optimizer.lr=0.0100",
            "optimizer.lr=1e-2",
            "model.forget_bias=1",
            "task.start=null",
        ],
    )
    def test_is_the_same_however_and_wherever_it_is_executed(self, conf: Path, overrides: str) -> None:
        assert cell(conf, overrides).key == cell(conf).key

    @pytest.mark.parametrize(
        "overrides",
        [
            "activation=iris",
            "model=rnn",
            "loss=mse",
            "gradient=none",
            "optimizer=sgd",
            "task=adding",
            "optimizer.lr=0.011",
            "optimizer.schedule=linear",
            "optimizer.betas=[0.9,0.99]",
            "gradient.max_norm=2",
            "trainer.max_epochs=11",
            "trainer.batch_size=33",
            "task.window=21",
            "task.cost=0",
            "replica=1",
            "execution.device=cuda",
        ],
    )
    def test_differs_with_what_the_run_is(self, conf: Path, overrides: str) -> None:
        changed, default = cell(conf, overrides), cell(conf)
        assert changed.key != default.key and changed.folder != default.folder

    def test_every_change_gives_a_key_of_its_own(self, conf: Path) -> None:
        variants = [(), ("activation=iris",), ("loss=mse",), ("replica=1",), ("activation=iris", "replica=1")]
        keys = {cell(conf, *overrides).key for overrides in variants}
        assert len(keys) == len(variants)

    def test_the_order_of_overrides_does_not_matter(self, conf: Path) -> None:
        assert cell(conf, "activation=iris", "loss=mse") == cell(conf, "loss=mse", "activation=iris")

    def test_one_gpu_is_as_good_as_another(self, conf: Path) -> None:
        assert cell(conf, "execution.device=cuda:1").key == cell(conf, "execution.device=cuda").key

    def test_seeds_have_keys_of_their_own(self, conf: Path) -> None:
        control, iris = cell(conf), cell(conf, "activation=iris")
        keys = {own.run_key(seed) for own in (control, iris) for seed in range(100)}
        assert len(keys) == 200 and all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)
        assert control.run_key(3) == cell(conf, "seed=9").run_key(3)

    def test_descriptions_do_not_count_and_options_do(self, own_conf: Path, forget: Callable[[], None]) -> None:
        def key() -> str:
            forget()
            return cell(own_conf, "activation=iris").key

        before = key()
        edit(own_conf / "activation" / "iris.yaml", "description: Iris", "description: The very best, Iris")
        edit(own_conf / "model" / "lstm.yaml", "source: S. Hochreiter", "source: Sepp Hochreiter")
        edit(own_conf / "task" / "stock.yaml", "reference: Package", "reference: The package")
        edit(own_conf / "task" / "stock.yaml", "# Tomorrow", "# The day after, tomorrow")
        edit(own_conf / "trainer" / "default.yaml", "description: Fixed", "description: A fixed")
        assert key() == before
        edit(own_conf / "model" / "lstm.yaml", "hidden_size: 16", "hidden_size: 17")
        assert key() != before

    def test_an_edited_default_and_an_override_are_the_same_run(
        self, own_conf: Path, forget: Callable[[], None]
    ) -> None:
        """The key hashes what the configuration is, not how it came about."""
        overridden = cell(own_conf, "model.hidden_size=17").key
        edit(own_conf / "model" / "lstm.yaml", "hidden_size: 16", "hidden_size: 17")
        forget()
        assert cell(own_conf).key == overridden

    def test_neither_the_folder_nor_the_process_counts(self, conf: Path) -> None:
        code = (
            "from notafluke.configuration import compose_run, conf_folder; from notafluke.plan import make_cell; "
            "print(make_cell(compose_run(conf_folder(), {'activation': 'iris'})).key)"
        )
        root = Path(__file__).parents[2]
        done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == cell(conf, "activation=iris").key

    @pytest.mark.parametrize("package", ["torch", "numpy"])
    def test_versions_count(self, conf: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
        before = cell(conf).key
        true = plan_module.version
        monkeypatch.setattr(plan_module, "version", lambda name: "0.0.1" if name == package else true(name))
        assert cell(conf).key != before

    def test_the_build_of_torch_does_not_count(self, conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = cell(conf).key
        true = plan_module.version
        monkeypatch.setattr(
            plan_module, "version", lambda name: true(name).partition("+")[0] + "+cu126" * (name == "torch")
        )
        assert cell(conf).key == before


class TestData:
    """`task.source`: the content of the file counts, its place does not."""

    def test_two_copies_are_the_same_runs_in_the_same_folder(self, conf: Path, tmp_path: Path) -> None:
        first = write_prices(tmp_path / "a" / "prices.csv")
        second = tmp_path / "b c" / "other name, ü.csv"
        second.parent.mkdir()
        shutil.copy(first, second)
        one, two = cell(conf, *priced(first)), cell(conf, *priced(second))
        assert (one.key, one.folder) == (two.key, two.folder)
        assert str(tmp_path.name) not in one.folder and "prices" not in one.folder

    def test_other_content_is_another_run(self, conf: Path, tmp_path: Path) -> None:
        first, second = write_prices(tmp_path / "a.csv"), write_prices(tmp_path / "b.csv", 2.0)
        one, two = cell(conf, *priced(first)), cell(conf, *priced(second))
        assert one.key != two.key and one.folder != two.folder
        write_prices(first, 2.0)
        assert cell(conf, *priced(first)).key == two.key

    def test_a_csv_is_not_the_package(self, conf: Path, tmp_path: Path) -> None:
        path = write_prices(tmp_path / "a.csv")
        assert cell(conf, *priced(path)).key != cell(conf, *[part for part in priced(path) if "source" not in part]).key

    def test_a_relative_path(self, conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_prices(tmp_path / "a.csv")
        absolute = cell(conf, *priced(path))
        monkeypatch.chdir(tmp_path)
        assert cell(conf, *priced("a.csv")).folder == absolute.folder

    def test_a_missing_file_is_a_usage_error(self, conf: Path) -> None:
        with pytest.raises(UsageError, match=r"nowhere\.csv"):
            cell(conf, *priced("nowhere.csv"))


class TestCode:
    """A component of the user's own, in a module that is not notafluke's."""

    SOURCE = (
        "import torch\n\nSLOPE = 2.0\n\n\n"
        "def steep(x):\n    return torch.tanh(SLOPE * x)\n\n\ndef flat(x):\n    return x\n"
    )

    @pytest.fixture
    def module(self, own_conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        monkeypatch.syspath_prepend(str(tmp_path))
        path = tmp_path / "ideas_of_mine.py"
        path.write_text(self.SOURCE, encoding="utf-8")
        for name in ("steep", "flat"):
            (own_conf / "activation" / f"{name}.yaml").write_text(
                f"description: Mine\nsource: mine\n_target_: ideas_of_mine.{name}\n_partial_: true\n", encoding="utf-8"
            )
        yield path
        sys.modules.pop("ideas_of_mine", None)

    def test_an_edit_changes_the_keys_of_what_uses_it(
        self, module: Path, own_conf: Path, forget: Callable[[], None]
    ) -> None:
        def keys() -> dict[str, str]:
            forget()
            return {name: cell(own_conf, f"activation={name}").key for name in ("steep", "flat", "tanh")}

        before = keys()
        module.write_text(self.SOURCE.replace("SLOPE * x)", "SLOPE * x)  # why"), encoding="utf-8")
        assert keys() == before
        module.write_text(self.SOURCE.replace("2.0", "3.0"), encoding="utf-8")
        after = keys()
        assert {name for name in before if after[name] != before[name]} == {"steep"}
        module.write_text(self.SOURCE, encoding="utf-8")
        assert keys() == before

    def test_it_trains_as_a_component(self, module: Path, own_conf: Path, forget: Callable[[], None]) -> None:
        import torch

        forget()
        run = compose_run(own_conf, {**SMALL, "activation": "steep"})
        assert components.check(run) == []
        network = components.build_recipe(run.config).build_model(2, 1)
        assert network(torch.zeros(3, 4, 2)).shape == (3, 4, 1)

    def test_the_cached_plan_is_stale_when_the_module_changes(
        self, module: Path, own_conf: Path, forget: Callable[[], None]
    ) -> None:
        forget()
        write_study(own_conf, sweep={"activation": "tanh,steep", "seed": 0}, claims={})
        before = load_plan("tiny")
        assert str(module) in before.files
        module.write_text(self.SOURCE.replace("2.0", "4.0"), encoding="utf-8")
        forget()
        after = load_plan("tiny")
        assert after.cells["adding"]["activation=steep"].key != before.cells["adding"]["activation=steep"].key
        assert after.cells["adding"]["control"] == before.cells["adding"]["control"]


class TestFolder:
    def test_reads_well(self, conf: Path) -> None:
        own = cell(conf, "activation=iris")
        assert own.folder == f"results/runs/stock/activation=iris-{own.key[:8]}"
        assert own.metrics_file(3) == Path(own.folder) / "seed=3" / "metrics.json"
        assert own.task == "stock" and own.changes == {"activation": "iris"}
        assert cell(conf).folder == f"results/runs/stock/default-{cell(conf).key[:8]}"

    def test_below_the_folder_of_results(self, conf: Path) -> None:
        assert cell(conf, "execution.results=a/b").folder.startswith("a/b/runs/stock/default-")

    def test_the_overrides_make_the_cell_again(self, conf: Path) -> None:
        for overrides in (["activation=iris", "optimizer.lr=3e-3"], ["task=adding", "model=rnn", "replica=2"], []):
            own = cell(conf, *overrides)
            assert cell(conf, *own.overrides) == own

    @given(
        st.text(max_size=300)
        | st.sampled_from(["../../../etc/passwd", "..", ".", "/", "a\\b", "{seed}", "x" * 999, "a\nb", "-rf", "é/ü"])
    )
    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    def test_any_value_gives_one_safe_and_short_name(self, workplace: Path, value: str) -> None:
        """No separators, no wildcards of Snakemake, no name that a file system refuses."""
        run = compose_run(workplace / "conf", {"task": "adding"})
        shown = RunConfig(run.config, run.choices, {"optimizer.schedule": override_text(value)}, {})
        folder = make_cell(shown).folder
        head, _, name = folder.rpartition("/")
        assert head == "results/runs/adding"
        assert re.fullmatch(r"[A-Za-z0-9_=.,+-]+", name) and len(name) <= LABEL_LENGTH + 9
        assert not name.startswith((".", "-"))

    def test_values_that_share_a_label_do_not_share_a_folder(self, conf: Path) -> None:
        """Cut to one length, or with the same characters replaced."""
        long = [f"optimizer.schedule={'x' * 120}{end}" for end in "ab"]
        odd = ["optimizer.schedule='a/b'", "optimizer.schedule='a:b'"]
        for one, two in (long, odd):
            first, second = cell(conf, one), cell(conf, two)
            assert first.folder.rpartition("-")[0] == second.folder.rpartition("-")[0]
            assert first.folder != second.folder


class TestPlan:
    def test_demo(self, conf: Path, checks: CheckCache) -> None:
        plan = make_plan("demo", checks=checks)
        assert {task: set(arms) for task, arms in plan.cells.items()} == {
            task: {arm.name for arm in arms} for task, arms in plan.study.arms.items()
        }
        assert len(plan.distinct_cells) == sum(len(arms) for arms in plan.cells.values())
        assert len(plan.metrics_files()) == len(plan.distinct_cells) * len(plan.study.seeds)
        assert len(set(plan.metrics_files())) == len(plan.metrics_files())
        assert plan.missing() == plan.metrics_files()
        assert plan.folder == Path("results/demo") and plan.warnings == ()
        assert {arms["activation=iris"].changes["activation"] for arms in plan.cells.values()} == {"iris"}

    def test_cells_are_those_of_a_single_run(self, conf: Path, checks: CheckCache) -> None:
        """The plan's folder and what `notafluke train` makes of the same overrides are one."""
        for own in make_plan("demo", checks=checks).distinct_cells:
            assert make_cell(compose_run(conf, overrides_by_key([*own.overrides, "seed=3"]))) == own

    def test_cells_are_cut_into_jobs_as_the_study_says(self, conf: Path, checks: CheckCache) -> None:
        plan = make_plan("demo", checks=checks)
        assert [cell for job in plan.jobs for cell in job] == plan.distinct_cells
        text = (conf / "study" / "demo.yaml").read_text(encoding="utf-8")
        (conf / "study" / "merged.yaml").write_text(f"cells_per_job: 3\n{text}", encoding="utf-8")
        merged = make_plan("merged", checks=checks)
        assert [cell for job in merged.jobs for cell in job] == plan.distinct_cells
        assert {len(job) for job in merged.jobs[:-1]} == {3} and 1 <= len(merged.jobs[-1]) <= 3
        assert merged.study.digest == plan.study.digest, "no part of what the study decides"
        assert Plan.from_tree(merged.as_tree()).jobs == merged.jobs

    def test_cells_without_much_to_compute_share_a_job(self, conf: Path, checks: CheckCache) -> None:
        """By their work alone: seeds and steps, whoever plans; what needs other data has another job."""
        tasks = {"adding": {"task.train_size": 64, "task.length": 2}, "digits": {"model.hidden_size": 4}}
        sweep = {"activation": "tanh,iris,relu,gelu", "seed": "range(0,4)"}
        write_study(conf, tasks=tasks, sweep=sweep, control={"trainer.max_epochs": 1}, claims={})
        plan = make_plan("tiny", checks=checks)
        assert [len(job) for job in plan.jobs] == [4, 4] and Plan.from_tree(plan.as_tree()).jobs == plan.jobs
        assert make_plan("tiny").jobs == plan.jobs, "without what was found before"
        assert all(len({cell.data for cell in job}) == 1 for job in plan.jobs)
        longer = make_plan("tiny", ["trainer.max_epochs=20000", "task=adding"], checks)
        assert [len(job) for job in longer.jobs] == [1, 1, 1, 1]

    def test_the_work_of_data_that_take_long_is_not_known(self, conf: Path, checks: CheckCache) -> None:
        """Their number is another once they are prepared, and a job must not be another one then."""
        tasks = {"harmony": {"model.hidden_size": 4}, "adding": {"task.train_size": 64, "task.length": 2}}
        write_study(conf, tasks=tasks, sweep={"replica": "0,1,2", "seed": "0,1"}, claims={})
        sizes = [len(job) for job in make_plan("tiny", checks=checks).jobs]
        assert sizes == [1, 1, 1, 1, 2]

    @pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
    def test_scaling_the_gradient_under_an_optimizer_that_takes_it_out_again_is_told(
        self, conf: Path, optimizer: str
    ) -> None:
        """Whichever arm it is; of its own accord, not by a list of optimizers. SGD is not told, nor clipping alone."""
        sweep = {"gradient": "clip_norm,scale_norm,scale_norm_golden", "seed": 0}
        write_study(conf, sweep=sweep, control={"optimizer": optimizer}, claims={})
        (warning,) = make_plan("tiny").warnings
        assert "gradient=scale_norm, gradient=scale_norm_golden" in warning and "optimizer=sgd" in warning
        for momentum in ("0.0", "0.9"):
            sgd = {"optimizer": "sgd", "optimizer.momentum": momentum}
            write_study(conf, sweep=sweep, control=sgd, claims={})
            assert make_plan("tiny").warnings == ()
        clipping = {"gradient": "clip_norm,clip_value,none", "seed": 0}
        write_study(conf, sweep=clipping, control={"optimizer": optimizer}, claims={})
        assert make_plan("tiny").warnings == ()

    def test_writes_nothing(self, conf: Path) -> None:
        before = files_below(conf.parent)
        make_plan("demo")
        with pytest.raises(UsageError):
            make_plan("demo", ["activation=irsi"])
        assert files_below(conf.parent) == before

    def test_a_misspelled_option_anywhere_in_a_sweep(self, conf: Path) -> None:
        with pytest.raises(UsageError, match="unknown option activation=irsi; did you mean 'iris'"):
            make_plan("demo", ["activation=tanh,irsi"])

    def test_missing(self, conf: Path) -> None:
        plan = make_plan(write_study(conf))
        first, *others = plan.metrics_files()
        Path(first).parent.mkdir(parents=True)
        Path(first).write_text("{}", encoding="utf-8")
        assert plan.missing() == others
        shutil.rmtree(plan.results)

    def test_more_seeds_keep_the_cells(self, conf: Path) -> None:
        write_study(conf)
        plan, more = make_plan("tiny"), make_plan("tiny", ["seed=range(0,5)"])
        assert more.cells == plan.cells and more.folder != plan.folder
        assert set(plan.metrics_files()) < set(more.metrics_files())

    def test_the_tree_is_read_back(self, conf: Path) -> None:
        plan = make_plan("demo", ["task=stock", "seed=range(0,3)"])
        assert plan.warnings
        assert Plan.from_tree(json.loads(json.dumps(plan.as_tree()))) == plan

    def test_two_spellings_of_one_treatment_are_refused(self, conf: Path) -> None:
        write_study(conf, sweep={"optimizer.lr": "0.02,2e-2"}, claims={})
        with pytest.raises(UsageError, match="duplicate"):
            make_plan("tiny")

    def test_two_treatments_that_are_one_run_are_refused(self, conf: Path) -> None:
        """A whole number and the same number with a point."""
        write_study(conf, sweep={"gradient.max_norm": "2,2.0"}, claims={})
        with pytest.raises(UsageError, match="duplicate"):
            make_plan("tiny")

    @pytest.mark.parametrize(
        ("claim", "expected"),
        [
            ({"metric": "msee"}, "unknown metric 'msee'; did you mean 'mse'"),
            ({"control": "baseline:predict_mean"}, "did you mean 'predict_the_mean'"),
            ({"control": "baseline:"}, "no baseline ''"),
        ],
    )
    def test_claims_about_what_a_task_does_not_have(self, conf: Path, claim: Mapping[str, str], expected: str) -> None:
        base = {"sentence": "s", "treatment": "activation=iris", "sesoi": 1}
        write_study(conf, claims={"x": {**base, **claim}})
        with pytest.raises(UsageError) as caught:
            make_plan("tiny")
        assert expected in str(caught.value) and "claim x" in str(caught.value)

    @pytest.mark.parametrize(
        ("overrides", "expected"),
        [
            (["model.hidden_size=0"], "hidden_size=0"),
            (["gradient.max_norm=-1"], "max_norm"),
            (["optimizer.lr=-0.1"], "lr|learning rate"),
            (["optimizer.schedule=lineer"], "linear"),
            (["optimizer.betas=[0.9]"], "betas"),
            (["optimizer.betas=[a,b]"], "optimizer"),
            (["task.length=1"], "length"),
            (["execution.device=banana"], "device"),
            (["execution.device=cuda:99"], "CUDA devices here"),
            (["execution.results=null"], "results"),
        ],
        ids=str,
    )
    def test_values_that_cannot_work_are_refused_before_training(
        self, conf: Path, overrides: list[str], expected: str
    ) -> None:
        with pytest.raises(UsageError, match=expected) as caught:
            run = compose_run(conf, SMALL | overrides_by_key(overrides))
            components.check(run)
            make_cell(run)
        assert "\n" not in str(caught.value)

    def test_a_folder_of_results_that_looks_like_a_number(self, conf: Path) -> None:
        assert cell(conf, "execution.results=2024").folder.startswith("2024/runs/")

    @pytest.mark.parametrize(
        "target", ["notafluke.nn.activations.irsi", "no_such_package.f", "notafluke", "iris", "os"]
    )
    def test_a_component_that_cannot_be_imported(self, own_conf: Path, target: str) -> None:
        path = own_conf / "activation" / "mine.yaml"
        path.write_text(f"description: d\nsource: s\n_target_: {target}\n_partial_: true\n", encoding="utf-8")
        write_study(own_conf, sweep={"activation": "tanh,mine"}, claims={})
        with pytest.raises(UsageError, match=re.escape(target)):
            make_plan("tiny")

    def test_an_option_that_the_component_does_not_take(self, own_conf: Path) -> None:
        path = own_conf / "activation" / "mine.yaml"
        text = "description: d\nsource: s\n_target_: notafluke.nn.activations.iris\n_partial_: true\nslope: 2\n"
        path.write_text(text, encoding="utf-8")
        write_study(own_conf, sweep={"activation": "tanh,mine"}, claims={})
        with pytest.raises(UsageError, match="slope"):
            make_plan("tiny")

    def test_a_model_that_cannot_be_batched(self, own_conf: Path, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "fused_model_of_mine.py").write_text(
            "from torch import nn\n\n\ndef fused(input_size, output_size, activation):\n"
            "    return nn.Sequential(nn.LSTM(input_size, output_size))\n",
            encoding="utf-8",
        )
        path = own_conf / "model" / "fused.yaml"
        path.write_text("description: d\nsource: s\n_target_: fused_model_of_mine.fused\n_partial_: true\n")
        write_study(own_conf, sweep={"model": "lstm,fused"}, claims={})
        with pytest.raises(UsageError, match="LSTM"):
            make_plan("tiny")
        sys.modules.pop("fused_model_of_mine", None)


class TestCache:
    @pytest.fixture
    def makes(self, conf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
        """A tiny study and no plan yet; one entry for each time that a plan is really made."""
        before = files_below(conf)
        write_study(conf)
        for path in self.cache_files():
            path.unlink()
        made: list[str] = []

        def counted(name: str, overrides: Any, checks: CheckCache) -> Plan:
            made.append(name)
            return make_plan(name, overrides, checks)

        monkeypatch.setattr(plan_module, "make_plan", counted)
        yield made
        shutil.rmtree(conf)
        for name, content in before.items():
            (conf / name).parent.mkdir(parents=True, exist_ok=True)
            (conf / name).write_bytes(content)

    def cache_files(self) -> list[Path]:
        return sorted(Path(".snakemake").rglob("plan-*.json"))

    @pytest.mark.parametrize("overrides", [[], ["seed=range(0,3)"], ["activation=tanh,relu"]], ids=str)
    def test_a_hit_is_the_fresh_plan(self, makes: list[str], overrides: list[str]) -> None:
        fresh = load_plan("tiny", overrides)
        again = load_plan("tiny", overrides)
        assert makes == ["tiny"]
        assert again == fresh == make_plan("tiny", overrides)
        assert again.study.digest == fresh.study.digest and again.metrics_files() == fresh.metrics_files()

    def test_other_overrides_are_another_plan(self, makes: list[str]) -> None:
        assert load_plan("tiny") != load_plan("tiny", ["seed=0"])
        assert load_plan("tiny", ["seed=0"]).study.seeds == (0,)
        assert len(makes) == 2

    @pytest.mark.parametrize(
        "damage",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b"{}",
            b"3",
            b"\xff\xfe\x00",
            b'{"digests": {}}',
            b'{"digests": {}, "plan": {}}',
            b'{"digests": [], "plan": {}}',
            b'{"digests": {}, "plan": {"cells": []}}',
        ],
    )
    def test_a_damaged_file_is_ignored(self, makes: list[str], damage: bytes) -> None:
        fresh = load_plan("tiny")
        (path,) = self.cache_files()
        path.write_bytes(damage)
        assert load_plan("tiny") == fresh
        assert len(makes) == 2
        assert load_plan("tiny") == fresh and len(makes) == 2, "the damaged file is written anew"

    def test_half_a_file_is_ignored(self, makes: list[str]) -> None:
        fresh = load_plan("tiny")
        (path,) = self.cache_files()
        path.write_bytes(path.read_bytes()[:-200])
        assert load_plan("tiny") == fresh

    @pytest.mark.parametrize("file", ["study/tiny.yaml", "activation/iris.yaml", "config.yaml"])
    def test_stale_when_a_file_of_conf_changes(self, makes: list[str], conf: Path, file: str) -> None:
        load_plan("tiny")
        path = conf / file
        path.write_text(path.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
        load_plan("tiny")
        assert len(makes) == 2

    def test_stale_when_conf_gets_a_new_file(self, makes: list[str], conf: Path) -> None:
        load_plan("tiny")
        shutil.copy(conf / "activation" / "iris.yaml", conf / "activation" / "mine.yaml")
        load_plan("tiny")
        assert len(makes) == 2

    def test_not_stale_when_only_times_change(self, makes: list[str], conf: Path) -> None:
        load_plan("tiny")
        for path in conf.rglob("*.yaml"):
            path.touch()
        load_plan("tiny")
        assert len(makes) == 1

    def test_stale_when_the_code_changes(
        self, makes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code = tmp_path / "package"
        code.mkdir()
        (code / "a.py").write_text("x = 1\n", encoding="utf-8")
        monkeypatch.setattr(plan_module, "PACKAGE_FOLDER", code)
        load_plan("tiny")
        load_plan("tiny")
        assert len(makes) == 1
        (code / "a.py").write_text("x = 2\n", encoding="utf-8")
        load_plan("tiny")
        assert len(makes) == 2

    @pytest.mark.parametrize("package", ["torch", "numpy", "hydra-core", "arch"])
    def test_stale_when_a_package_changes(
        self, makes: list[str], monkeypatch: pytest.MonkeyPatch, package: str
    ) -> None:
        load_plan("tiny")
        true = plan_module.version
        monkeypatch.setattr(plan_module, "version", lambda name: "0.0.1" if name == package else true(name))
        load_plan("tiny")
        assert len(makes) == 2

    def test_stale_when_the_csv_changes_or_goes(self, makes: list[str], conf: Path, tmp_path: Path) -> None:
        path = write_prices(tmp_path / "prices.csv")
        overrides = [part for part in priced(path) if part != "task=stock"]
        settings_of_task = {key: value.strip("'") for key, value in overrides_by_key(overrides).items()}
        write_study(conf, tasks={"stock": settings_of_task})
        before = load_plan("tiny")
        assert load_plan("tiny") == before and len(makes) == 1
        write_prices(path, 3.0)
        after = load_plan("tiny")
        assert len(makes) == 2
        assert {own.key for own in after.distinct_cells}.isdisjoint(own.key for own in before.distinct_cells)
        path.unlink()
        with pytest.raises(UsageError, match=r"prices\.csv"):
            load_plan("tiny")

    def test_stale_when_a_folder_of_data_gets_another_file(self, makes: list[str], conf: Path, tmp_path: Path) -> None:
        novels = tmp_path / "novels"
        novels.mkdir()
        for name in ("a", "b", "c", "d"):
            (novels / f"{name}.txt").write_text(f"{name} told a tale. " * 300, encoding="utf-8")
        write_study(conf, tasks={"text": {"task.source": str(novels), "model.hidden_size": 4, "task.length": 8}})
        before = load_plan("tiny")
        assert load_plan("tiny") == before and len(makes) == 1
        (novels / "below").mkdir()
        (novels / "below" / "e.txt").write_text("One more tale. " * 300, encoding="utf-8")
        after = load_plan("tiny")
        assert len(makes) == 2
        assert {own.key for own in after.distinct_cells}.isdisjoint(own.key for own in before.distinct_cells)
        (novels / "below" / "e.txt").unlink()
        assert {own.key for own in load_plan("tiny").distinct_cells} == {own.key for own in before.distinct_cells}

    def test_errors_are_not_cached(self, makes: list[str]) -> None:
        for _ in range(2):
            with pytest.raises(UsageError, match="did you mean 'iris'"):
                load_plan("tiny", ["activation=tanh,irsi"])
        assert self.cache_files() == []


class TestChecks:
    """What was tried before is not tried again; whatever a check can depend on has it tried again."""

    @pytest.fixture
    def own_conf(self, planned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The ``conf/`` of a copy of it."""
        folder = tmp_path.resolve() / "own"
        shutil.copytree(planned, folder)
        monkeypatch.chdir(folder)
        return folder / "conf"

    @pytest.fixture
    def tried(self, own_conf: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The activation of each run that is really tried."""
        found: list[str] = []
        examine = components.examine

        def counted(run: RunConfig) -> components.Examined:
            found.append(run.choices["activation"])
            return examine(run)

        monkeypatch.setattr(components, "examine", counted)
        return found

    def test_every_cell_is_tried_the_first_time(self, tried: list[str]) -> None:
        shutil.rmtree(".snakemake")
        load_plan("tiny")
        assert sorted(tried) == ["iris", "tanh"]

    def test_other_seeds_and_claims_and_another_study_try_nothing(self, own_conf: Path, tried: list[str]) -> None:
        load_plan("tiny", ["seed=range(0,7)"])
        write_study(own_conf, claims={})
        load_plan("tiny")
        load_plan(write_study(own_conf, "other"))
        assert tried == []

    def test_what_should_be_known_is_told_again(self, own_conf: Path, tried: list[str]) -> None:
        sweep = {"loss": "mse,golden", "seed": "range(0,8)"}
        own_study = {"tasks": {"digits": {"model.hidden_size": 4}}, "sweep": sweep, "claims": {}}
        first = load_plan(write_study(own_conf, **own_study))
        tried.clear()
        again = load_plan("tiny", ["seed=range(0,7)"])
        assert tried == [] and first.warnings == again.warnings != ()

    def test_only_new_cells_are_tried(self, tried: list[str]) -> None:
        load_plan("tiny", ["activation=tanh,iris,relu"])
        assert tried == ["relu"]

    @pytest.mark.parametrize("damage", [b"", b"null", b"[]", b'{"findings": {}}', b"\xff"])
    def test_a_damaged_file_is_ignored(self, tried: list[str], damage: bytes) -> None:
        plan_module.CHECKS.write_bytes(damage)
        load_plan("tiny", ["seed=range(0,7)"])
        assert sorted(tried) == ["iris", "tanh"]
        load_plan("tiny", ["seed=range(0,8)"])
        assert len(tried) == 2, "the damaged file is written anew"

    def test_no_byte_of_it_can_change_unnoticed(self, own_conf: Path) -> None:
        content, known = plan_module.CHECKS.read_bytes(), CheckCache(plan_module.CHECKS).known
        assert known
        random = np.random.default_rng(0)
        for place in range(len(content)):
            changed = bytes([content[place] ^ (1 << int(random.integers(8)))])
            plan_module.CHECKS.write_bytes(content[:place] + changed + content[place + 1 :])
            assert CheckCache(plan_module.CHECKS).known in ({}, known)

    @pytest.mark.parametrize("content", [b"def soft(x:\n", "# \u00e9\n".encode("latin-1")], ids=["syntax", "encoding"])
    def test_a_file_of_ones_own_that_cannot_be_read_is_told_in_one_line(
        self, own_conf: Path, tried: list[str], content: bytes
    ) -> None:
        (own_conf.parent / "unreadable.py").write_bytes(content)
        text = "description: d\nsource: s\n_target_: unreadable.soft\n_partial_: true\n"
        (own_conf / "activation" / "soft.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=r"activation=soft .*importing unreadable raised SyntaxError"):
            load_plan("tiny", ["activation=tanh,soft"])
        with pytest.raises(UsageError, match=r"activation=soft .*importing unreadable raised SyntaxError"):
            train_cell(["task=adding", "activation=soft", "seed=0"], "single runs")

    def test_another_optimizer_is_asked_again_whether_it_takes_scaling_out(self, own_conf: Path) -> None:
        sweep = {"gradient": "clip_norm,scale_norm", "seed": 0}
        write_study(own_conf, sweep=sweep, control={"optimizer": "adam"}, claims={})
        assert load_plan("tiny").warnings
        write_study(own_conf, sweep=sweep, control={"optimizer": "sgd"}, claims={})
        assert not load_plan("tiny").warnings
        write_study(own_conf, sweep=sweep | {"seed": 1}, control={"optimizer": "adam"}, claims={})
        assert load_plan("tiny").warnings

    def test_a_default_that_changes_is_tried(
        self, own_conf: Path, tried: list[str], forget: Callable[[], None]
    ) -> None:
        edit(own_conf / "optimizer" / "adam.yaml", "eps: 1.0e-8", "eps: -1.0")
        forget()
        with pytest.raises(UsageError, match=r"optimizer=adam .*epsilon"):
            load_plan("tiny")
        assert tried == ["tanh"]

    def test_code_that_changes_is_tried(self, own_conf: Path, tried: list[str], forget: Callable[[], None]) -> None:
        own = own_conf.parent / "my_activations.py"
        own.write_text("def soft(x):\n    return x.tanh()\n", encoding="utf-8")
        text = "# Mine\n_target_: my_activations.soft\n_partial_: true\n"
        (own_conf / "activation" / "soft.yaml").write_text(text, encoding="utf-8")
        edit(own_conf / "config.yaml", "trust: []", "trust: [my_activations]")
        arguments = ["activation=tanh,soft"]
        try:
            load_plan("tiny", arguments)
            tried.clear()
            load_plan("tiny", [*arguments, "seed=0"])
            assert tried == []
            own.write_text("def soft(x):\n    return x.tanh().sum(0)\n", encoding="utf-8")
            forget()
            sys.modules.pop("my_activations")
            with pytest.raises(UsageError, match="activation=soft"):
                load_plan("tiny", arguments)
            assert tried == ["soft"]
        finally:
            sys.modules.pop("my_activations", None)

    def test_data_that_change_are_tried(self, own_conf: Path, tried: list[str], tmp_path: Path) -> None:
        path = write_prices(tmp_path / "prices.csv")
        overrides = [part for part in priced(path) if part != "task=stock"]
        own = {key: value.strip("'") for key, value in overrides_by_key(overrides).items()}
        write_study(own_conf, tasks={"stock": own})
        load_plan("tiny")
        tried.clear()
        load_plan("tiny", ["seed=0"])
        assert tried == []
        write_prices(path, 3.0)
        load_plan("tiny", ["seed=0"])
        assert sorted(tried) == ["iris", "tanh"]

    def test_data_are_tried_again_when_they_are_prepared(self, own_conf: Path, tried: list[str]) -> None:
        """Before, an invented example may have been tried."""
        write_study(own_conf, tasks={"stock": {"model.hidden_size": 4}})
        plan = load_plan("tiny")
        tried.clear()
        provenance = Path(plan.data_folders[0]) / "provenance.json"
        provenance.parent.mkdir(parents=True)
        provenance.write_text("{}", encoding="utf-8")
        load_plan("tiny", ["seed=0"])
        assert sorted(tried) == ["iris", "tanh"]

    def test_a_gpu_is_looked_for_each_time(
        self, own_conf: Path, tried: list[str], forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        edit(own_conf / "config.yaml", "device: cpu", "device: cuda:7")
        forget()
        monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
        load_plan("tiny")
        monkeypatch.setattr("torch.cuda.device_count", lambda: 7)
        with pytest.raises(UsageError, match="7 CUDA devices"):
            load_plan("tiny", ["seed=0"])

    def test_a_package_that_changes_is_tried(self, tried: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        true = plan_module.version
        monkeypatch.setattr(plan_module, "version", lambda name: "0.0.1" if name == "torch" else true(name))
        load_plan("tiny")
        assert sorted(tried) == ["iris", "tanh"]

    def test_more_seeds_are_planned_without_torch_and_scipy(self, tried: list[str]) -> None:
        """Seconds of a new process, whenever seeds or claims change."""
        script = (
            "import sys; from notafluke.plan import load_plan; load_plan('tiny', ['seed=range(0,12)']); "
            "print(sorted({'torch', 'scipy', 'pandas', 'pytorch_lightning', 'mlflow'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


class TestCheckCache:
    def test_finds_once_what_depends_on_the_same(self, tmp_path: Path) -> None:
        path, calls = tmp_path / "checks.json", []

        def check(found: list[str]) -> list[str]:
            calls.append(found)
            return found

        cache = CheckCache(path)
        assert cache.findings({"a": 1, "b": 2}, lambda: check(["x"])) == ["x"]
        assert cache.findings({"b": 2, "a": 1}, lambda: check(["y"])) == ["x"]
        assert cache.findings({"a": 1}, lambda: check([])) == []
        assert not path.exists()
        cache.store()
        again = CheckCache(path)
        assert again.findings({"a": 1}, lambda: check(["z"])) == [] and len(calls) == 2
        before = path.stat().st_mtime_ns
        again.store()
        assert path.stat().st_mtime_ns == before, "nothing new, nothing written"

    def test_keeps_nothing_of_a_check_that_fails(self, tmp_path: Path) -> None:
        cache = CheckCache(tmp_path / "checks.json")
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                cache.findings("a", lambda: [str(1 / 0)])
        assert cache.findings("a", lambda: ["found"]) == ["found"]

    def test_two_that_store_keep_what_both_found(self, tmp_path: Path) -> None:
        path = tmp_path / "checks.json"
        one, other = CheckCache(path), CheckCache(path)
        one.findings("a", lambda: ["1"])
        other.findings("b", lambda: ["2"])
        one.store()
        other.store()
        both = CheckCache(path)
        assert both.findings("a", lambda: ["?"]) == ["1"] and both.findings("b", lambda: ["?"]) == ["2"]

    def test_the_oldest_go_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("notafluke.check_cache.MOST", 2)
        path = tmp_path / "checks.json"
        for name in "abc":
            cache = CheckCache(path)
            cache.findings(name, lambda: ["found"])
            cache.store()
        kept = CheckCache(path)
        assert [kept.findings(name, lambda: ["new"]) for name in "abc"] == [["new"], ["found"], ["found"]]
