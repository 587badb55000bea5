"""What a study, an override or a stored configuration may name as `_target_`: never imported before it is trusted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from notafluke.configuration import compose_run
from notafluke.errors import UsageError
from notafluke.plan import make_plan
from notafluke.trust import require_trusted, trusted_modules

OPTION = "description: d\nsource: s\n_target_: {target}\n_partial_: true\n"
STUDY = """
control: {{activation: tanh}}
tasks: {tasks}
sweep: {sweep}
"""


@pytest.fixture
def trap(own_conf: Path) -> Iterator[Path]:
    """A module in the working folder that leaves a file when it is imported: where that file will be."""
    place = own_conf.parent / "imported"
    text = (
        f"from pathlib import Path\nPath({str(place)!r}).touch()\nfrom subprocess import run\ndef gentle(x): return x\n"
    )
    (own_conf.parent / "trap_of_mine.py").write_text(text, encoding="utf-8")
    yield place
    sys.modules.pop("trap_of_mine", None)


def trust(conf: Path, *modules: str) -> None:
    file = conf / "config.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.count("trust: []") == 1
    file.write_text(text.replace("trust: []", f"trust: {list(modules)}"), encoding="utf-8")


def refusal(conf: Path, target: str) -> str:
    with pytest.raises(UsageError) as caught:
        compose_run(conf, {"task": "adding", "activation._target_": target})
    return str(caught.value)


ELSEWHERE = [
    "trap_of_mine.gentle",
    "os.system",
    "builtins.eval",
    "subprocess.run",
    "torch.nn.functional.hardtanh",
    "notafluke_evil.f",
    "notafluke-x.f",
    "Notafluke.nn.activations.iris",
    "ｎotafluke.nn.activations.iris",
    "..notafluke.f",
    "notafluk.e.f",
    "notafluke.locks.unlock",
    "notafluke.cli.main",
    "notafluke.nnx.f",
]


def test_other_modules_are_refused_unimported(own_conf: Path, trap: Path) -> None:
    for target in ELSEWHERE:
        before = set(sys.modules)
        line = refusal(own_conf, repr(target))
        assert line.startswith(f"activation._target_={target} is not trusted: name it in an option file of your own")
        imported = {name.partition(".")[0] for name in set(sys.modules) - before}
        other = target.partition(".")[0]
        assert not trap.exists() and (other == "notafluke" or other not in imported)


def test_the_line_says_what_to_add_where_and_then_it_works(own_conf: Path, trap: Path) -> None:
    assert refusal(own_conf, "trap_of_mine.gentle").endswith("add trap_of_mine to the list trust in conf/config.yaml")
    trust(own_conf, "trap_of_mine")
    run = compose_run(own_conf, {"task": "adding", "activation._target_": "trap_of_mine.gentle"})
    assert run.config["activation"]["_target_"] == "trap_of_mine.gentle"
    assert "trust" not in run.changes and trap.exists()


@pytest.mark.parametrize(
    ("target", "home"),
    [
        ("trap_of_mine.run", "subprocess"),
        ("notafluke.tasks.base.dataclass", "dataclasses"),
        ("notafluke.tasks.usgs_service.write_atomic", "notafluke.files"),
    ],
)
def test_what_a_trusted_module_imports_from_elsewhere_is_not_trusted(
    own_conf: Path, trap: Path, target: str, home: str
) -> None:
    trust(own_conf, "trap_of_mine")
    line = refusal(own_conf, target)
    assert f"it is defined in {home}, not in {target.rpartition('.')[0]}" in line and f"add {home} to the list" in line


@pytest.mark.parametrize(
    "target",
    [
        "notafluke.tasks.base.os.system",
        "notafluke.nn.activations.torch.hub.load",
        "notafluke.nn.gone.f",
        "notafluke.training.state.Carried.training_batches",
        "notafluke.locks.subprocess.check_output",
        "notafluke.files.os.system",
        "trap_of_mine.run.f",
    ],
)
def test_what_lies_in_no_module_is_not_trusted(own_conf: Path, trap: Path, target: str) -> None:
    """As a module that imports `os` leads to `os.system`."""
    trust(own_conf, "trap_of_mine")
    assert refusal(own_conf, target).startswith(f"activation._target_={target} is not trusted")


def test_submodules_are_trusted_with_their_package_and_siblings_are_not(own_conf: Path) -> None:
    trust(own_conf, "torch.nn")
    for target in ("torch.nn.functional.hardtanh", "torch.nn.Softplus"):
        compose_run(own_conf, {"task": "adding", "activation._target_": target})
    assert "is not trusted" in refusal(own_conf, "torch.hub.load")
    assert "is not trusted" in refusal(own_conf, "torch.nnx.f")


def test_the_package_itself_needs_no_word(conf: Path) -> None:
    run = compose_run(conf, {"task": "adding", "activation._target_": "notafluke.nn.activations.iris"})
    assert run.changes["activation._target_"] == "notafluke.nn.activations.iris"


def test_option_files_may_name_anything(own_conf: Path) -> None:
    (own_conf / "activation" / "mine.yaml").write_text(OPTION.format(target="torch.nn.functional.hardtanh"))
    for overrides in ({"activation": "mine"}, {"activation._target_": "torch.nn.functional.hardtanh"}):
        config = compose_run(own_conf, {"task": "adding", **overrides}).config
        assert config["activation"]["_target_"] == "torch.nn.functional.hardtanh"
    with pytest.raises(UsageError, match="is not trusted"):
        compose_run(own_conf, {"task": "adding", "optimizer._target_": "torch.nn.functional.hardtanh"})


@pytest.mark.parametrize("where", ["control", "task", "sweep", "arm", "override"])
def test_studies(own_conf: Path, trap: Path, where: str) -> None:
    tasks = {"adding": {"activation._target_": "trap_of_mine.gentle"}} if where == "task" else {"adding": {}}
    if where == "arm":
        tasks["adding"]["arms"] = ["loss=mse,activation._target_=trap_of_mine.gentle"]  # type: ignore[assignment]
    sweep = {"activation._target_": "trap_of_mine.gentle"} if where == "sweep" else {"activation": "tanh,iris"}
    study = {"control": {}, "tasks": tasks, "sweep": {**sweep, "seed": "0,1"}}
    if where == "control":
        study["control"] = {"activation._target_": "trap_of_mine.gentle"}
    (own_conf / "study" / "foreign.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    overrides = ["activation._target_=trap_of_mine.gentle"] if where == "override" else []
    with pytest.raises(UsageError, match=r"trap_of_mine\.gentle is not trusted"):
        make_plan("foreign", overrides)
    assert not trap.exists()


@pytest.mark.parametrize("key", ["trust", "trust.0"])
def test_nobody_else_says_what_is_trusted(own_conf: Path, key: str) -> None:
    with pytest.raises(UsageError, match=r"only conf/config\.yaml itself"):
        compose_run(own_conf, {"task": "adding", key: "[os]", "activation._target_": "os.system"})


@pytest.mark.parametrize("value", ["os", "{os: 1}", "[1]", "['torch.*']", "['']", "['a b']", "[null]"])
def test_a_list_that_is_none(own_conf: Path, value: str) -> None:
    file = own_conf / "config.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("trust: []", f"trust: {value}"), encoding="utf-8")
    with pytest.raises(UsageError, match=r"conf/config\.yaml: trust: .*my_activations"):
        trusted_modules(own_conf)


FOREIGN: list[dict[str, object]] = [
    {"activation": {"_target_": "os.system"}},
    {"activation": {"_target_": "notafluke.nn.activations.iris", "inner": {"_target_": "os.system"}}},
    {"task": {"list": [{"_target_": "os.system"}]}},
    {"more": {"_target_": "os.system"}},
    {"_target_": "os.system"},
    {"../evil": {"_target_": "os.system"}},
    {"activation": {"_target_": ["os.system"]}},
]


def test_stored_configurations(own_conf: Path) -> None:
    """A config.yaml of somebody else's results, with a `trust` of its own, is judged by this folder's conf/."""
    (own_conf.parent / "evil").mkdir()
    (own_conf.parent / "evil" / "config.yaml").write_text("_target_: os.system\n")
    config = compose_run(own_conf, {"task": "adding"}).config
    require_trusted(config, own_conf)
    for change in FOREIGN:
        with pytest.raises(UsageError, match=r"is not trusted"):
            require_trusted({**config, "trust": ["os"], **change}, own_conf)
