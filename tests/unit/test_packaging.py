"""The files that install notafluke agree with each other, and the Makefile's installation can be continued."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
SUPPORTED = ["3.11", "3.12", "3.13"]
CUDA = re.compile(r"^(nvidia|triton|cuda)\b")


def lock_lines() -> list[str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def locked() -> dict[str, Requirement]:
    return {canonicalize_name(r.name): r for r in map(Requirement, lock_lines())}


def version_of(pin: Requirement) -> str:
    return next(iter(pin.specifier)).version


def environments() -> list[dict[str, str]]:
    """Marker environments that the lock has to serve."""
    return [
        {
            **{key: str(value) for key, value in default_environment().items()},
            "python_version": python,
            "python_full_version": f"{python}.1",
            "sys_platform": system,
            "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
            "platform_machine": machine,
        }
        for python in SUPPORTED
        for system, machine in [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]
    ]


# ---------------------------------------------------------------------------------------------- files agree


def test_each_lock_line_is_one_exact_pin() -> None:
    for line in lock_lines():
        pin = Requirement(line)  # options, paths and bare addresses are no requirements and raise
        assert pin.url is None and not pin.extras, line
        assert [s.operator for s in pin.specifier] == ["=="], line
        assert not set("*+") & set(version_of(pin)), f"{line}: local and wildcard versions are not portable"


def test_lock_names_each_package_once_and_no_cuda_package() -> None:
    names = [canonicalize_name(Requirement(line).name) for line in lock_lines()]
    assert sorted(set(names)) == sorted(names)
    assert [name for name in names if CUDA.match(name)] == []


@pytest.mark.parametrize("name", ["requirements.lock", "environment.yml", "Makefile", "pyproject.toml", ".ci/run"])
def test_no_index_options_or_machine_paths(name: str) -> None:
    text = (ROOT / name).read_text()
    assert (
        re.findall(r"--(?:extra-)?index-url|--find-links|--trusted-host|file://|/(?:home|mnt|opt|root|Users)/", text)
        == []
    )


@pytest.mark.parametrize("text", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"])
def test_dependency_is_pinned_in_the_lock(text: str) -> None:
    wanted = Requirement(text)
    pin = locked().get(canonicalize_name(wanted.name))
    assert pin is not None, f"{wanted.name} is not in requirements.lock: run `make lock`"
    assert wanted.specifier.contains(version_of(pin)), f"{pin} is not within {wanted}: run `make lock`"
    assert pin.marker is None or all(pin.marker.evaluate(e) for e in environments())


def test_lock_holds_what_the_dependencies_need() -> None:
    """Follow the requirements of the installed packages, as far as these are the locked versions."""
    pins = locked()
    todo = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
    seen: set[tuple[str, str]] = set()
    missing = []
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if CUDA.match(name):  # requirements of PyTorch's CUDA build, left out of the lock on purpose
            continue
        if name not in pins or not wanted.specifier.contains(version_of(pins[name]), prereleases=True):
            missing.append(str(wanted))
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if Version(distribution.version).public != version_of(pins[name]):
            continue
        for extra in {"", *wanted.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                needs = map(Requirement, distribution.requires or [])
                todo += [r for r in needs if r.marker is None or r.marker.evaluate({"extra": extra})]
    assert missing == [], "run `make lock`"
    assert len(seen) > 20


def test_what_the_sources_import_is_declared() -> None:
    declared = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    providers = metadata.packages_distributions()
    undeclared = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            for module in {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"notafluke"}:
                names = {canonicalize_name(name) for name in providers.get(module, [module])}
                if not names & declared:
                    undeclared.add(f"{path.relative_to(ROOT)} imports {module}")
    assert sorted(undeclared) == [], "add it to the dependencies of pyproject.toml and run `make lock`"


def test_torch_is_exact_everywhere() -> None:
    torch = [text for text in PROJECT["dependencies"] if Requirement(text).name == "torch"]
    assert torch == ["torch==2.13.0"]
    assert "torch==2.13.0" in lock_lines()
    known = [m for m in PYPROJECT["tool"]["uv"]["dependency-metadata"] if m["name"] == "torch"]
    assert [m["version"] for m in known] == ["2.13.0"], "`make lock` would bring in the CUDA packages"


def test_conda_environment_installs_the_same_lock() -> None:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [entry for entry in entries if isinstance(entry, str)]
    assert [entry["pip"] for entry in entries if isinstance(entry, dict)] == [["-r requirements.lock", "-e ."]]
    python = next(entry for entry in conda if entry.startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python="))
    assert sorted(entry for entry in conda if entry != python) == ["git", "make", "pip"], "the rest is in the lock"


def test_supported_pythons_agree() -> None:
    wanted = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{minor}" for minor in range(9, 20) if wanted.contains(f"3.{minor}")] == SUPPORTED
    listed = [
        c.rpartition(" ")[2] for c in PROJECT["classifiers"] if c.startswith("Programming Language :: Python :: 3.")
    ]
    assert listed == SUPPORTED
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in (ROOT / "Makefile").read_text()


def test_citation_names_this_version_and_license() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_installed_version_is_the_declared_one() -> None:
    assert metadata.version("notafluke") == PROJECT["version"]


# ------------------------------------------------------------------------------------------------- Makefile

STEPS = {
    1: "-m venv",
    2: "--constraint requirements.lock torch==",
    3: "--requirement requirements.lock",
    4: "--editable .",
}

# Stands for python3, and, copied by its own `-m venv`, for .venv/bin/python.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
*sys.version_info*) [ -z "$FAKE_OLD" ]; exit ;;
*--version*) echo Python 3.9.6; exit ;;
esac
case "$*" in "-c import pip") exit 0 ;; esac
echo "$*" >> calls.txt
if [ -n "$FAKE_FAIL" ]; then
    case "$*" in *"$FAKE_FAIL"*) echo "ERROR: the network is down"; exit 1 ;; esac
fi
case "$*" in *"-m venv"*)
    mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo "#!$(pwd -P)/.venv/bin/python" > .venv/bin/pip
    chmod +x .venv/bin/pip ;;
esac
"""


class Checkout:
    """A copy of what the installation reads, with a Python that only writes down how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ["Makefile", "pyproject.toml", "requirements.lock"]:
            shutil.copy(ROOT / name, folder / name)
        self.python = folder.parent / "fake-python3"
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)

    def make(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON"}}
        if not any(a.startswith("PYTHON=") for a in arguments):
            arguments = (*arguments, f"PYTHON={self.python}")
        return subprocess.run(
            ["make", *arguments], cwd=self.folder, env=clean | variables, capture_output=True, text=True, timeout=60
        )

    def steps_done(self) -> list[int]:
        """The steps that were tried since the last question, in order."""
        calls = self.folder / "calls.txt"
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return [step for line in lines for step, text in STEPS.items() if text in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a folder")


def test_help_lists_every_target(checkout: Checkout) -> None:
    targets = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {"run", "test", "lint", "ui", "clean", "lock"} <= set(targets)
    for call in ([], ["help"]):
        shown = checkout.make(*call)
        assert shown.returncode == 0
        assert sorted(re.findall(r"^  make (\S+) +\S", shown.stdout, flags=re.MULTILINE)) == sorted(targets)


def test_installation_runs_four_steps_once(checkout: Checkout) -> None:
    first = checkout.make("install")
    assert first.returncode == 0, first.stderr
    assert re.findall(r"step (\d) of 4", first.stdout) == ["1", "2", "3", "4"]
    assert checkout.steps_done() == [1, 2, 3, 4]
    assert checkout.make("install").returncode == 0
    assert checkout.steps_done() == []


@pytest.mark.parametrize("step", STEPS)
def test_failed_step_is_named_and_continued(checkout: Checkout, step: int) -> None:
    failed = checkout.make("install", FAKE_FAIL=STEPS[step])
    assert failed.returncode != 0
    assert checkout.steps_done() == list(range(1, step + 1))
    [line] = [line for line in failed.stderr.splitlines() if "failed" in line]
    assert line.startswith(f"installation failed at step {step} of 4: ")
    assert f"see .venv/install-{step}.log; run the same command again to continue" in line
    assert "ERROR: the network is down" in failed.stderr
    assert "the network is down" in (checkout.folder / f".venv/install-{step}.log").read_text()

    assert checkout.make("install").returncode == 0
    assert checkout.steps_done() == list(range(step, 5))


def test_only_a_changed_file_repeats_its_steps(checkout: Checkout) -> None:
    checkout.make("install")
    checkout.steps_done()
    lock, pyproject = checkout.folder / "requirements.lock", checkout.folder / "pyproject.toml"
    before = lock.read_text()

    lock.touch()
    pyproject.touch()
    checkout.make("install")
    assert checkout.steps_done() == []

    lock.write_text(before + "six==1.17.0\n")
    checkout.make("install")
    assert checkout.steps_done() == [3, 4]

    lock.write_text(before)  # undone: what is installed is not what this lock says
    checkout.make("install")
    assert checkout.steps_done() == [3, 4]

    pyproject.write_text(pyproject.read_text() + "\n# changed\n")
    checkout.make("install")
    assert checkout.steps_done() == [4]

    lock.write_text(before.replace("torch==2.13.0", "torch==2.13.1"))
    checkout.make("install")
    assert checkout.steps_done() == [2, 3, 4]


STUB = """#!/bin/sh
echo "{name} $* [$MLFLOW_BACKEND_STORE_URI]" >> calls.txt
"""


@pytest.mark.parametrize(
    ("uri", "shown", "database"),
    [
        (None, "MLflow UI: http://127.0.0.1:5000", "sqlite:///results/mlflow.db"),
        ("postgresql://me:hunter22@db/runs", "MLflow UI: http://127.0.0.1:5000", "postgresql://me:hunter22@db/runs"),
        ("https://me:hunter22@db/runs", "open it in a browser: https://***@db/runs", None),
    ],
)
def test_the_ui_is_for_this_machine_alone_and_shows_no_password(
    checkout: Checkout, uri: str | None, shown: str, database: str | None
) -> None:
    (checkout.folder / "results" / "runs").mkdir(parents=True)
    (checkout.folder / "bin").mkdir()
    for name, text in {
        "python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n',
        "notafluke": STUB.format(name="notafluke"),
        "mlflow": STUB.format(name="mlflow"),
    }.items():
        (checkout.folder / "bin" / name).write_text(text)
        (checkout.folder / "bin" / name).chmod(0o755)
    settings = {"PYTHONPATH": str(ROOT / "src"), "MLFLOW_TRACKING_URI": uri or ""}
    done = checkout.make("-o", "install", "ui", "BIN=bin", **settings)
    assert done.returncode == 0 and shown in done.stdout and "hunter22" not in done.stdout + done.stderr
    calls = checkout.folder / "calls.txt"
    assert (calls.read_text().splitlines() if calls.exists() else None) == (
        database and ["notafluke track init []", f"mlflow ui --host 127.0.0.1 --port 5000 [{database}]"]
    )


def test_a_run_that_fails_asks_whether_a_lock_is_why_and_keeps_its_code(checkout: Checkout) -> None:
    (checkout.folder / "bin").mkdir()
    for name, ending in {"snakemake": "exit 7", "notafluke": "echo this folder is locked"}.items():
        (checkout.folder / "bin" / name).write_text(STUB.format(name=name) + ending + "\n")
        (checkout.folder / "bin" / name).chmod(0o755)
    done = checkout.make("-o", "install", "run", "BIN=bin")
    assert done.returncode != 0 and done.stderr.splitlines()[0] == "this folder is locked" and "Error 7" in done.stderr
    calls = (checkout.folder / "calls.txt").read_text().splitlines()
    assert [call.partition(" [")[0] for call in calls][1:] == ["notafluke unlock --check"]


def test_there_is_no_ui_without_runs(checkout: Checkout) -> None:
    done = checkout.make("-o", "install", "ui", "BIN=bin", MLFLOW_TRACKING_URI="")
    assert done.returncode != 0 and "no runs yet" in done.stderr


def test_a_moved_checkout_is_installed_anew(checkout: Checkout) -> None:
    checkout.make("install")
    checkout.steps_done()
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("moved"))
    assert checkout.make("install").returncode == 0
    assert checkout.steps_done() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["PYTHON=no-such-python"], {}, "notafluke needs Python 3.11 to 3.13: no-such-python was not found"),
        ([], {"FAKE_OLD": "1"}, "is Python 3.9.6; name another: make PYTHON=python3.12"),
    ],
)
def test_unsuitable_python_is_one_clear_line(
    checkout: Checkout, arguments: list[str], variables: dict[str, str], says: str
) -> None:
    refused = checkout.make("install", *arguments, **variables)
    assert refused.returncode != 0
    assert says in refused.stderr
    assert not (checkout.folder / ".venv").exists()


def test_results_are_deleted_only_after_a_yes(checkout: Checkout) -> None:
    results = checkout.folder / "results"
    results.mkdir()
    for name in ["README.md", "mlflow.db"]:
        (results / name).touch()
    for answer, left in [("", ["README.md", "mlflow.db"]), ("n\n", ["README.md", "mlflow.db"]), ("y\n", ["README.md"])]:
        subprocess.run(
            ["make", "clean-results"], cwd=checkout.folder, input=answer, capture_output=True, text=True, timeout=60
        )
        assert sorted(p.name for p in results.iterdir()) == left
