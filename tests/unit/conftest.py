"""What the unit tests share."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from notafluke import cli, code_digest, configuration

REPOSITORY = Path(__file__).parents[2]


def forget_all() -> None:
    """Empty what the library remembers about files within one process, as a new process would."""
    importlib.invalidate_caches()
    for module in (code_digest, configuration):
        for value in vars(module).values():
            if callable(clear := getattr(value, "cache_clear", None)):
                clear()


@pytest.fixture(scope="session")
def forget() -> Callable[[], None]:
    """A function that makes this process as forgetful as a new one."""
    return forget_all


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of ``conf/``, shared by the tests of a module."""
    folder = tmp_path_factory.mktemp("workplace").resolve()
    shutil.copytree(REPOSITORY / "conf", folder / "conf")
    return folder


@pytest.fixture
def conf(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy of ``conf/``, with its parent as the working folder. To be read, and to be added to."""
    monkeypatch.chdir(workplace)
    return workplace / "conf"


@pytest.fixture
def own_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``conf/`` for this test alone, to be edited; its parent is the working folder."""
    folder = tmp_path.resolve() / "own"
    shutil.copytree(REPOSITORY / "conf", folder / "conf")
    monkeypatch.chdir(folder)
    return folder / "conf"


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], conf: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run `notafluke` with arguments, in a folder with a copy of conf/: exit code, stdout, stderr."""

    def run_command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["notafluke", *arguments])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command
