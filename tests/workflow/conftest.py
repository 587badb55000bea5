"""Projects to try the front door on: temporary copies of the repository with a study of a few seconds.

`project` is a copy in which the study is finished already, so that a test trains only what it is about; `pristine` is
one in which nothing has run; `finished` is the finished copy itself, to be read only.
"""

import compileall
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from filelock import FileLock
from projects import TINY_CELL, Project, copy_repository, untracked


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.workflow)


Once = Callable[[str, Callable[[Path], Any]], Project]


PLANS = ".snakemake/notafluke"


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Build a project once for all workers of pytest-xdist: ``once(name, build)`` with ``build(folder)``."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, build: Callable[[Path], Any]) -> Project:
        folder = shared / name
        with FileLock(f"{folder}.lock"):
            if not Path(f"{folder}.done").exists():
                shutil.rmtree(folder, ignore_errors=True)
                build(folder)
                Path(f"{folder}.done").touch()
        return Project(folder)

    return make


@pytest.fixture(scope="session")
def checkout(once: Once) -> Project:
    """A copy in which nothing has run; not to be changed.

    Its modules are compiled and its study is planned once for all copies of it.
    """

    def build(folder: Path) -> None:
        project = copy_repository(folder)
        compileall.compile_dir(project.root / "src", quiet=2)
        with TemporaryDirectory() as place:
            planned = untracked(project.copied(Path(place) / "planned"))
            planned.notafluke("plan", "tiny")
            shutil.copytree(planned.root / PLANS, project.root / PLANS)

    return once("checkout", build)


@pytest.fixture(scope="session")
def finished(once: Once, checkout: Project) -> Project:
    """A copy in which the tiny study has run; not to be changed."""

    def build(folder: Path) -> None:
        checkout.copied(folder).snakemake()

    return once("finished", build)


@pytest.fixture
def pristine(checkout: Project, tmp_path: Path) -> Project:
    """A copy of one's own in which nothing has run, and in which nothing is logged to MLflow."""
    return untracked(checkout.copied(tmp_path / "pristine"))


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of one's own in which the tiny study has run, and in which nothing is logged to MLflow any more."""
    return untracked(finished.copied(tmp_path / "project"))


@pytest.fixture(scope="session")
def tiny_cell() -> list[str]:
    """The settings of the tiny study as overrides of a single run."""
    return TINY_CELL
