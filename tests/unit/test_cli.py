"""The command line: help with examples, one line and exit code 2 for mistakes, and nothing heavy imported in vain."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer import Typer
from typer.testing import CliRunner

from notafluke import cli
from notafluke.configuration import groups, options

CONF = Path(__file__).parents[2] / "conf"
COMMANDS = [
    ["train"],
    ["train-cells"],
    ["prepare"],
    ["fetch"],
    ["plan"],
    ["decide"],
    ["show"],
    ["list"],
    ["track", "init"],
    ["track", "sync"],
    ["track", "rebuild"],
    ["fluke"],
    ["power"],
    ["analyse"],
    ["status"],
    ["retry"],
    ["prune"],
    ["unlock"],
    ["reproduce"],
    ["diff"],
]
Run = Callable[..., tuple[int, str, str]]


def test_the_list_of_commands_is_complete() -> None:
    assert sorted(commands_of(cli.app)) == sorted(COMMANDS)


def commands_of(app: Typer) -> list[list[str]]:
    """The commands of an app, those of its groups after the group's name, where it has one."""
    found = [[command.name or getattr(command.callback, "__name__", "")] for command in app.registered_commands]
    for group in app.registered_groups:
        name = [group.name] if isinstance(group.name, str) else []
        found += [[*name, *command] for command in commands_of(group.typer_instance or Typer())]
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help_with_an_example(command: list[str], flag: str) -> None:
    result = CliRunner().invoke(cli.app, [*command, flag], prog_name="notafluke")
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    assert f"Example: notafluke {' '.join(command)}" in text


def test_help_names_every_command_and_how_to_start(run: Run) -> None:
    code, text, _ = run("--help")
    assert code == 0
    for name in ("train", "plan", "decide", "show", "list", "track"):
        assert f"\n  {name} " in text
    assert "snakemake --cores all --config study=demo" in text


def test_without_arguments_help_is_shown(run: Run) -> None:
    _, out, err = run()
    assert "Usage" in out + err


def test_help_is_light() -> None:
    """Neither torch nor what takes as long to import."""
    code = (
        "import sys; sys.argv = ['notafluke', '--help']\n"
        "from notafluke.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'mlflow', 'pandas', 'pytorch_lightning', 'matplotlib', 'scipy', 'hydra', 'numpy'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["plan", "dmo"], "unknown study dmo; did you mean 'demo'?"),
        (["show", "dmo"], "unknown study dmo; did you mean 'demo'?"),
        (["decide", "dmo"], "unknown study dmo"),
        (["track", "sync", "dmo"], "unknown study dmo"),
        (
            ["plan", "demo", "--overrides", "activation=irsi,tanh"],
            "unknown option activation=irsi; did you mean 'iris'?",
        ),
        (["plan", "demo", "--overrides", "seed=range(0,0)"], "expands to nothing"),
        (["plan", "demo", "--overrides", "sed=1"], "unknown key sed; did you mean 'seed'?"),
        (["plan", "demo", "--overrides", "seed"], "write key=value"),
        (["plan", "demo", "--overrides", "task=addin"], "did you mean 'adding'?"),
        (["train", "task=stocks"], "unknown option task=stocks; did you mean 'stock'?"),
        (["train", "model.hiden_size=3"], "did you mean 'model.hidden_size'?"),
        (["train", "model.hidden_size=0"], "hidden_size=0: expected a whole number of at least 1"),
        (["train", "model.hidden_size=many"], "model.hidden_size=many: expected a whole number"),
        (["train", "seed=-1"], "seed=-1: expected a whole number"),
        (["train", "seed=x"], "seed=x: expected a whole number"),
        (["train", "activation=tanh,iris"], "activation"),
        (["train", "task.source=nowhere.csv"], "nowhere.csv"),
        (["train", "+loss=mse"], "write loss=value"),
        (["train-cells", "dmo", "results/runs/adding/default-0"], "unknown study dmo"),
        (["list", "component"], "did you mean 'components'?"),
        (["list", "components", "activations"], "unknown group activations; did you mean 'activation'?"),
        (["status", "dmo"], "unknown study dmo; did you mean 'demo'?"),
        (["retry", "demo", "--outcome", "ok"], "such a run is a result, which is never taken back"),
        (["retry", "demo", "--outcome", "crash"], "did you mean 'crashed'? valid: crashed, damaged, timeout"),
        (["prune", "dmo", "--yes"], "unknown study dmo"),
        (["prune", "--overrides", "seed=1"], "--overrides belong to a study"),
        (["list", "studies", "demo"], "cannot list studies demo: only components have groups"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line_and_exit_code_2(run: Run, arguments: list[str], expected: str) -> None:
    before = sorted(Path.cwd().rglob("*"))
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and expected in lines[0]
    assert sorted(Path.cwd().rglob("*")) == before, "nothing half-written"


def test_a_cell_that_the_plan_does_not_have_any_more(run: Run) -> None:
    """The code has changed since Snakemake read its plan: nothing is trained under the old key."""
    code, out, err = run("train-cells", "demo", "results/runs/adding/default-0")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert "results/runs/adding/default-0 is no cell of demo now: its code or configuration has changed" in line
    assert not Path("results").exists()


@pytest.mark.parametrize("arguments", [["pln", "demo"], ["plan"], ["plan", "demo", "--override", "x=1"], ["train"]])
def test_wrong_usage_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert code == 2 and out == "" and "Traceback" not in err and err.strip()


def test_outside_the_repository(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["list"],
        ["list", "components", "gradient"],
        ["list", "studies"],
        ["plan", "demo"],
        ["train"],
        ["train", "seed=1"],
        ["track", "init"],
    ):
        code, _, err = run(*arguments)
        assert code == 2, arguments
        assert arguments == ["train"] or "run this in the folder of the repository" in err
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(run: Run) -> None:
    from notafluke.errors import UsageError

    with pytest.raises(UsageError):
        run("--debug", "plan", "dmo")


def test_list_components_names_every_option_with_its_description(run: Run) -> None:
    code, out, _ = run("list", "components")
    assert code == 0
    text = " ".join(out.split())
    for group in groups(CONF):
        assert f"\n{group}\n" in f"\n{out}"
        for option in options(CONF, group):
            content = yaml.safe_load((CONF / group / f"{option}.yaml").read_text(encoding="utf-8"))
            assert any(line.split()[:1] == [option] for line in out.splitlines()), option
            # A description may be folded over several lines, beside its source: its first words stand together.
            assert " ".join(content["description"].split()[:3]) in text


def test_list_components_is_the_default(run: Run) -> None:
    assert run("list")[1] == run("list", "components")[1]


def test_list_studies(run: Run) -> None:
    code, out, _ = run("list", "studies")
    title = yaml.safe_load((CONF / "study" / "demo.yaml").read_text(encoding="utf-8"))["title"]
    assert code == 0 and "demo" in out and " ".join(title.split()[:4]) in " ".join(out.split())


def test_plan_shows_cells_and_how_many_runs_are_missing(run: Run) -> None:
    code, out, _ = run("plan", "demo", "--overrides", "task=lotto seed=range(0,3) activation=tanh,iris loss=smooth_l1")
    assert code == 0
    assert "activation=iris" in out and "0 of 3" in out
    assert "9 runs, 9 to train" in out  # control, iris, replica=1
    assert "warning: claim" in out


def test_a_trained_run_is_said_with_its_metrics_and_is_not_trained_again(run: Run) -> None:
    small = ["task=adding", "task.length=4", "task.train_size=12", "task.validation_size=8", "task.test_size=8"]
    small += ["model.hidden_size=3", "trainer.max_epochs=1", "execution.tracking=false", "seed=1,0"]
    code, out, _ = run("train", *small)
    assert code == 0
    *runs, baseline = out.splitlines()
    assert [line.split("mse")[0] for line in runs] == ["seed 0: ok  ", "seed 1: ok  "]
    assert baseline == "baseline predict_the_mean: mse 0.1667"
    written = {path: path.stat().st_mtime_ns for path in Path("results").rglob("metrics.json")}
    assert len(written) == 2
    assert run("train", *small)[1] == out
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert run("train", *small, "execution.retrain=true")[1] == out, "trained again, the same to the last bit"
    assert all(path.stat().st_mtime_ns > before for path, before in written.items())
