"""Bad input: one clear line and exit code 2; through Snakemake its own failure status with that line at the end."""

import sys

import pytest

from notafluke import cli, train

STUDY = """
title: A study with a mistake
control: {{model.hidden_size: 4}}
tasks: {{adding: {{task.length: 2}}}}
sweep:
  activation: {activation}
  seed: range(0,3)
claims:
  iris:
    sentence: Iris beats tanh
    {claim}
"""
CLAIM = {"treatment": "activation=iris", "sesoi": "2%"}

BROKEN = """
import torch

from notafluke.nn.networks import Network
from notafluke.nn.recurrent import RNN


def branch(x):
    return x if x.mean() > 0 else torch.tanh(x)


def constructor(input_size, output_size, activation):
    raise ZeroDivisionError("no such network")


class Start(Network):
    def initialise(self, name, generator):
        raise ValueError("no such start")


def start(input_size, output_size, activation):
    return Start(list(RNN(input_size, output_size, activation, 4, 1, False, 0.0).layers), output_size)
"""
OPTION = "description: An option with a mistake\nsource: this test\n_partial_: true\n"

FILES = {
    "broken.py": BROKEN,
    "conf/activation/branch.yaml": f"{OPTION}_target_: broken.branch\n",
    "conf/activation/elsewhere.yaml": f"{OPTION}_target_: no_such_module.function\n",
    "conf/activation/aimless.yaml": OPTION,
    "conf/activation/malformed.yaml": "description: An option\nsource this test\n_target_: broken.branch\n",
    "conf/model/constructor.yaml": f"{OPTION}_target_: broken.constructor\n",
    "conf/model/start.yaml": f"{OPTION}_target_: broken.start\n",
    "malformed.csv": "Date,Close\n2001-01-01,1\n2001-01-02,x\n",
    "two.csv": "Date,Close\n2001-01-01,1\n2001-01-02,2\n",
    "no-close.csv": "Date,Open\n2001-01-01,1\n",
    "conf/study/malformed.yaml": "title: A study\ntasks: [adding\nsweep:\n  seed: 0\n",
}

# A study and its overrides, and what the line must name.
STUDIES = {
    "study": ("tinny", "", ["tinny", "did you mean 'tiny'", "demo"]),
    "option": ("tiny", "activation=iri", ["activation=iri", "did you mean 'iris'", "golden_tanh"]),
    "task": ("tiny", "task=addin", ["addin", "did you mean 'adding'", "lotto", "stock"]),
    "key": ("tiny", "model.hiden_size=8", ["model.hiden_size", "did you mean 'model.hidden_size'", "model.depth"]),
    "type": ("tiny", "model.hidden_size=big", ["model.hidden_size=big", "a whole number"]),
    "empty sweep": ("tiny", "seed=range(0,0)", ["seed", "range(0,0)", "expands to nothing"]),
    "only the control": ("tiny", "activation=tanh replica=0", ["control alone"]),
    "duplicate": ("tiny", "optimizer.lr=0.1,0.2,0.20", ["duplicate", "optimizer.lr", "'0.2'"]),
    "same run": ("tiny", "activation=iris,rainbow", ["duplicate", "activation=iris", "activation=rainbow", "same run"]),
    "missing CSV": ("tiny", "task=stock task.source=nowhere.csv", ["nowhere.csv", "no such file"]),
    "malformed CSV": ("tiny", "task=stock task.source=malformed.csv", ["malformed.csv", "row 3", "Close", "'x'"]),
    "too few rows": ("tiny", "task=stock task.source=two.csv", ["two.csv", "2 rows", "23 or more"]),
    "malformed YAML": ("malformed", "", ["malformed.yaml", "line 3"]),
    "claim's arm": ("arm", "", ["claims.iris", "activation=irsi", "did you mean 'activation=iris'"]),
    "claim's metric": ("metric", "", ["iris", "unknown metric 'msee'", "did you mean 'mse'"]),
    "no sesoi": ("sesoi", "", ["claims.iris.sesoi", "smallest effect size of interest"]),
}
RUNS = {
    "option": (["task=adding", "activation=iri"], ["activation=iri", "did you mean 'iris'"]),
    "key": (["task=adding", "modle.depth=2"], ["modle.depth", "model", "optimizer"]),
    "type": (["task=adding", "optimizer.lr=fast"], ["optimizer.lr=fast", "a number"]),
    "no equals sign": (["iris"], ["'iris'", "key=value"]),
    "column": (["task=stock", "task.source=no-close.csv"], ["no-close.csv", "Close"]),
    "rows": (["task=stock", "task.source=two.csv"], ["two.csv", "2 rows"]),
    "seed": (["task=adding", "seed=-1"], ["seed=-1", "at least 0"]),
}

COMPONENTS = {
    "activation=branch": ["broken.branch", "fails for a block of two seeds"],
    "activation=elsewhere": ["activation", "no_such_module"],
    "activation=aimless": ["activation", "_target_"],
    "activation=malformed": ["malformed.yaml", "line 2"],
    "model=constructor": ["broken.constructor", "no such network"],
    "model=start": ["broken.start", "no such start"],
}


@pytest.fixture(scope="module")
def project(once, checkout):
    """A copy with the mistakes; no test may change it."""

    def build(folder):
        project = checkout.copied(folder)
        for path, text in FILES.items():
            project.write(path, text)
        iris = (checkout.root / "conf/activation/iris.yaml").read_text(encoding="utf-8")
        project.write("conf/activation/rainbow.yaml", iris)
        for name, change in {
            "arm": {"treatment": "activation=irsi"},
            "metric": {"metric": "msee"},
            "sesoi": {"sesoi": None},
        }.items():
            claim = {key: value for key, value in {**CLAIM, **change}.items() if value is not None}
            text = "\n    ".join(f"{key}: {value}" for key, value in claim.items())
            project.write(f"conf/study/{name}.yaml", STUDY.format(activation="tanh,iris", claim=text))

    return once("mistakes", build)


@pytest.fixture
def unchanged(project):
    before = project.tree()
    yield
    assert project.tree() == before


def check_line(line, words):
    assert line.startswith("error: ")
    for word in words:
        assert word in line, f"{word!r} is not in: {line}"


def check_answer(done, words):
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    check_line(line, words)


@pytest.mark.parametrize("case", STUDIES)
@pytest.mark.usefixtures("unchanged")
def test_mistakes_in_a_study(project, case):
    study, overrides, words = STUDIES[case]
    check_answer(project.within(cli.main, "track", "sync", study, "--overrides", overrides, code=2), words)


@pytest.mark.parametrize("case", RUNS)
@pytest.mark.usefixtures("unchanged")
def test_mistakes_in_a_run(project, case):
    overrides, words = RUNS[case]
    check_answer(project.within(cli.main, "train", *overrides, code=2), words)
    check_answer(project.within(train.main, *overrides, code=2), words)


@pytest.mark.parametrize("override", COMPONENTS)
@pytest.mark.usefixtures("unchanged")
def test_mistakes_in_a_component(project, override):
    check_answer(project.within(cli.main, "train", "task=adding", override, code=2), COMPONENTS[override])


@pytest.mark.usefixtures("unchanged")
def test_mistakes_in_processes_of_their_own(project):
    """The same as within this process, for those that are found first and last: by name, in the data, by a dry pass."""
    study, overrides, words = STUDIES["claim's metric"]
    check_answer(project.notafluke("track", "sync", study, "--overrides", overrides, code=2), words)
    overrides, words = RUNS["option"]
    check_answer(project.notafluke("train", *overrides, code=2), words)
    overrides, words = RUNS["rows"]
    check_answer(project.hydra(*overrides, code=2), words)
    words = COMPONENTS["activation=branch"]
    check_answer(project.notafluke("train", "task=adding", "activation=branch", code=2), words)


@pytest.mark.parametrize("case", ["study", "malformed CSV", "malformed YAML"])
@pytest.mark.usefixtures("unchanged")
def test_mistakes_through_snakemake(project, case):
    study, overrides, words = STUDIES[case]
    done = project.snakemake(study=study, overrides=overrides, code=1)
    check_line(done.stderr.splitlines()[-1], words)
    assert "Traceback" not in done.output
    assert "Exception" not in done.output


@pytest.mark.usefixtures("unchanged")
def test_mistakes_in_a_multirun(project):
    for overrides, words in {
        ("seed=range(0,0)",): ["seed", "expands to nothing"],
        ("activation=tanh,iri", "seed=0,1"): ["activation=iri", "did you mean 'iris'"],
    }.items():
        check_answer(project.within(train.main, "-m", "task=adding", *overrides, code=2), words)


@pytest.mark.usefixtures("unchanged")
def test_mistakes_in_the_config_of_snakemake(project):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--config"]
    done = project.run(*command, "studdy=tiny", code=1)
    check_line(done.stderr.splitlines()[-1], ["studdy", "did you mean 'study'", "overrides"])
    assert "Traceback" not in done.output


@pytest.mark.usefixtures("unchanged")
def test_debug_shows_the_traceback(project):
    for arguments in (["plan", "tinny"], ["train", "activation=iri"]):
        done = project.notafluke(*arguments, "--debug", code=None)
        assert done.code != 0
        assert "Traceback" in done.stderr
        assert "notafluke.errors." in done.stderr


def test_outside_the_repository_the_line_says_where_to_go(project, tmp_path):
    done = type(project)(tmp_path).notafluke("plan", "tiny", code=2)
    (line,) = done.stderr.splitlines()
    check_line(line, ["conf/config.yaml", "repository"])
