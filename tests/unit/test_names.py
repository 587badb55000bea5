"""Names that become folders: nothing leads out of results/, and each mistake is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from notafluke.configuration import compose_run, conf_folder
from notafluke.errors import UsageError
from notafluke.names import RESERVED, reached_by_link, require_file_names, require_inside, require_results
from notafluke.plan import load_plan, make_cell, make_plan
from notafluke.records import write_record
from notafluke.tasks.dataset import Dataset

STUDY = "tasks: adding\nsweep: {activation: 'tanh,iris', seed: '0,1'}\n"
ODD = [
    "..",
    "a..",
    "demo+35daacea",
    "-x",
    ".hidden",
    "größe",
    "a b",
    "a\nb",
    "a\x1b[2Jb",
    "{seed}",
    "a'b",
    "n" * 65,
    "x:y",
]


def refused(name: str, line: str) -> None:
    assert line.isprintable(), "no control characters reach the terminal"
    assert "the name of" in line and "rename the file" in line
    assert ("has 65 characters" in line) == (len(name) > 64)


def test_names_of_studies(own_conf: Path) -> None:
    for name in ODD:
        (own_conf / "study" / f"{name}.yaml").write_text(STUDY, encoding="utf-8")
        with pytest.raises(UsageError) as caught:
            make_plan(name)
        refused(name, str(caught.value))
        assert "a study" in str(caught.value)


def test_names_of_options(own_conf: Path) -> None:
    for group, option in {"task": "adding", "activation": "iris"}.items():
        text = (own_conf / group / f"{option}.yaml").read_text(encoding="utf-8")
        for name in ODD:
            (own_conf / group / f"{name}.yaml").write_text(text, encoding="utf-8")
            with pytest.raises(UsageError) as caught:
                compose_run(own_conf, {group: name})
            refused(name, str(caught.value))


@pytest.mark.parametrize("name", ["../demo", "/etc/passwd", "study/demo", "demo.yaml", "x/../demo", "demo\0", ""])
def test_a_path_is_no_name(conf: Path, name: str) -> None:
    with pytest.raises(UsageError, match="unknown study"):
        make_plan(name)
    with pytest.raises(UsageError, match="unknown option task="):
        compose_run(conf, {"task": name})


def test_names_that_results_needs_itself(own_conf: Path) -> None:
    for name in [*RESERVED, "Runs", "MLArtifacts", "mlflow.db", "MLflow.db-wal"]:
        path = own_conf / "study" / f"{name}.yaml"
        path.write_text(STUDY, encoding="utf-8")
        with pytest.raises(UsageError, match="is not for a study: rename the file"):
            make_plan(name)
        path.unlink()


def test_names_that_differ_in_case_only(own_conf: Path) -> None:
    (own_conf / "study" / "Demo.yaml").write_text(STUDY, encoding="utf-8")
    (own_conf / "activation" / "Iris.yaml").write_text((own_conf / "activation" / "iris.yaml").read_text())
    for name in ("demo", "Demo"):
        with pytest.raises(UsageError, match="upper and lower case only"):
            make_plan(name)
    with pytest.raises(UsageError, match="differs from 'Iris' in upper and lower case only"):
        compose_run(own_conf, {"task": "adding", "activation": "iris"})


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/b",
        "/etc/x",
        "..",
        ".",
        "",
        " x",
        "a\nb",
        "a\0b",
        "C:x",
        "a\\b",
        "\x1b[2J",
        "x" * 121,
        "ä" * 61,
        "\ud800",
    ],
)
def test_names_of_files_that_a_task_writes(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        require_file_names("sample_files", ["samples.txt", name])
    assert str(caught.value).startswith("sample_files: ") and str(caught.value).isprintable()
    with pytest.raises(UsageError):
        write_record(tmp_path / "run", None, {}, [], None, None, samples={name: b"x"})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_one_on_many_computers() -> None:
    require_file_names("x", ["Bach.mid", "Bach.txt", "Bäch.mid", ".hidden", "a b.txt", "x" * 120])
    for pair in (["Bach.mid", "bach.MID"], ["B\u00e4ch", "Ba\u0308ch"]):
        with pytest.raises(UsageError, match="are one file on many computers"):
            require_file_names("x", pair)


def test_names_of_data() -> None:
    class Mine(Dataset):
        name = "../../mine"

    Mine.__abstractmethods__ = frozenset()
    with pytest.raises(UsageError, match=r"Mine\.name='\.\./\.\./mine'"):
        Mine("any").folder(Path("results"))  # type: ignore[abstract]


class TestLinks:
    @pytest.fixture
    def elsewhere(self, own_conf: Path) -> Path:
        (own_conf / "study" / "small.yaml").write_text(STUDY, encoding="utf-8")
        folder = own_conf.parent / "elsewhere"
        folder.mkdir()
        return folder

    def test_of_a_study_a_task_and_a_cell(self, elsewhere: Path) -> None:
        results = Path("results")
        (cell, _) = load_plan("small").distinct_cells
        for link in (results / "small", results / "runs", results / "runs" / "adding", Path(cell.folder)):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(elsewhere, target_is_directory=True)
            with pytest.raises(UsageError, match=r"leads out of results, to .*/elsewhere.*: nothing is written there"):
                load_plan("small")
            link.unlink()
        load_plan("small")
        assert list(elsewhere.iterdir()) == []

    @pytest.mark.parametrize(
        "name",
        ["logs", "logs/small", "environments", "mlartifacts", "mlflow.db", "experiments.jsonl", "small/tables"],
    )
    def test_of_what_is_written_beside_them(self, elsewhere: Path, name: str) -> None:
        load_plan("small")  # from the cache, the second time
        link = Path("results") / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(elsewhere / "x")
        with pytest.raises(UsageError, match=rf"results/{name} leads out of results, to .*/elsewhere/x"):
            load_plan("small")

    def test_what_is_reached_by_a_link(self, tmp_path: Path) -> None:
        real = tmp_path / "real"
        (real / "a" / "b").mkdir(parents=True)
        results = tmp_path / "results"
        results.symlink_to(real)
        (real / "linked").symlink_to(real / "a")
        (real / "file").symlink_to(real / "gone")
        assert not reached_by_link(results, results / "a" / "b")
        for path in ("linked", "linked/b", "file", ".", "../x", "a/../a"):
            assert reached_by_link(results, results / path)
        assert reached_by_link(results, tmp_path / "x")

    def test_results_itself_may_be_one(self, elsewhere: Path) -> None:
        Path("results").symlink_to(elsewhere, target_is_directory=True)
        load_plan("small")

    def test_within_results_they_may_lead_anywhere_but_to_itself(self, tmp_path: Path) -> None:
        results = tmp_path / "results"
        (results / "runs").mkdir(parents=True)
        (results / "linked").symlink_to(results / "runs")
        (results / "round").symlink_to(results)
        require_inside(results, results / "linked" / "x")
        for bad in (results / "round", results / ".." / "x", results / "runs" / ".." / ".." / "results2", Path("/")):
            with pytest.raises(UsageError, match="leads out of"):
                require_inside(results, bad)

    def test_of_a_seed(self, elsewhere: Path, run: object) -> None:
        from notafluke.train import train_cell

        overrides = {"task": "adding", "execution.tracking": "false"}
        folder = make_cell(compose_run(conf_folder(), overrides)).run_folder(3)
        folder.parent.mkdir(parents=True)
        folder.symlink_to(elsewhere, target_is_directory=True)
        with pytest.raises(UsageError, match="seed=3/samples leads out of results"):
            train_cell([*(f"{key}={value}" for key, value in overrides.items()), "seed=2,3"], "x")
        assert list(elsewhere.iterdir()) == []


def test_folders_that_cannot_hold_results(conf: Path) -> None:
    for bad in ("", " ", ".", "..", "/", "../..", "a\nb", "conf/.."):
        with pytest.raises(UsageError, match=r"execution\.results="):
            require_results(bad)
    for good in ("results", "../elsewhere", "/tmp/results", "a/b", "2024"):
        require_results(good)


class TestSecrets:
    @pytest.mark.parametrize(
        "value", ["hunter22hunter", "${oc.env:MY_TOKEN}", "'${oc.env:MY_TOKEN}.csv'", "'https://me:pw@host/x.csv'"]
    )
    def test_in_a_value(self, conf: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("MY_TOKEN", "hunter22hunter")
        with pytest.raises(UsageError, match=r"task\.source: its value holds a password") as caught:
            compose_run(conf, {"task": "stock", "task.source": value})
        assert "hunter22" not in str(caught.value) and "pw" not in str(caught.value).replace("password", "")

    def test_in_an_option_file(self, own_conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_TOKEN", "hunter22hunter")
        path = own_conf / "task" / "stock.yaml"
        path.write_text(path.read_text(encoding="utf-8") + "more: ${oc.env:MY_TOKEN}\n", encoding="utf-8")
        with pytest.raises(UsageError, match=r"task\.more: its value holds a password"):
            compose_run(own_conf, {"task": "stock"})

    @pytest.mark.parametrize("line", ["more: hunter22hunter", "more: [1, {a: x}, 'http://me:pw@host']"])
    def test_written_out_in_an_option_file(self, own_conf: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
        monkeypatch.setenv("MY_TOKEN", "hunter22hunter")
        path = own_conf / "activation" / "tanh.yaml"
        path.write_text(path.read_text(encoding="utf-8") + f"{line}\n", encoding="utf-8")
        with pytest.raises(UsageError, match=r"activation\.more: its value holds a password"):
            compose_run(own_conf, {"task": "adding"})

    def test_none_in_a_description_or_a_setting(self, own_conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAX_TOKENS", "100000")
        monkeypatch.setenv("MY_TOKEN", "hunter22hunter")
        path = own_conf / "activation" / "tanh.yaml"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("description: ", "description: hunter22hunter "), encoding="utf-8")
        run = compose_run(own_conf, {"task": "adding", "trainer.max_epochs": "100000"})
        assert run.changes["trainer.max_epochs"] == "100000"
