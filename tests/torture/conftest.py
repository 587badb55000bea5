"""Faults injected into real trainings. Only ``pytest -m torture`` collects them; ``make torture`` does, with a report.

TRIALS is the number of processes killed with SIGKILL, by which the other numbers go; SEED chooses the moments and the
damage; FAULTS is the file that the counts are appended to.
"""

import compileall
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from killing import STUDY, Undisturbed, state_of
from projects import Project, copy_repository
from tally import Tally

FAILED: set[str] = set()
"""Tests of which some part has failed, or that were skipped."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked_for = "torture" in str(config.getoption("markexpr"))
    return None if asked_for or Path(__file__).parent not in collection_path.parents else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.torture)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the tests that have passed, so that a run that was stopped can go on with the others."""
    if not report.passed:
        FAILED.add(report.nodeid)
    file = os.environ.get("PASSED")
    if file and report.when == "teardown" and report.nodeid not in FAILED:
        with Path(file).open("a", encoding="utf-8") as passed:
            passed.write(report.nodeid + "\n")


@dataclass(frozen=True)
class Extent:
    """How many faults, and which."""

    trials: int
    seed: int

    def share(self, of_fifty: int) -> int:
        """How many of a kind of which there are so many among 50 trials; at least one."""
        return max(1, round(self.trials * of_fifty / 50))

    def generator(self, *words: int) -> np.random.Generator:
        """The random numbers of one trial."""
        return np.random.default_rng([self.seed, *words])


@pytest.fixture(scope="session")
def extent() -> Extent:
    """TRIALS and SEED of the environment."""
    return Extent(int(os.environ.get("TRIALS") or 50), int(os.environ.get("SEED") or 0))


@pytest.fixture(scope="session")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Tally:
    """What is counted over all tests."""
    file = os.environ.get("FAULTS") or tmp_path_factory.mktemp("tally") / "faults.jsonl"
    return Tally(Path(file))


@pytest.fixture
def tally(counts: Tally, request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The counts; the test fails at its end where a fault was not survived."""
    lost = counts.lost
    counts.test, counts.commit = request.node.nodeid, os.environ.get("COMMIT", "")
    print()
    counts.start()
    yield counts
    assert counts.lost == lost, f"{counts.lost - lost} faults were not survived; what they left is kept"


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the repository with the study that is killed, in which nothing has run; not to be changed."""
    project = copy_repository(tmp_path_factory.mktemp("torture") / "untouched")
    project.write("conf/study/killed.yaml", STUDY)
    # Blocks of two seeds: the third seed is trained after two are recorded.
    project.edit("conf/config.yaml", "block_size: 20", "block_size: 2")
    compileall.compile_dir(project.root / "src", quiet=2)
    return project


@pytest.fixture(scope="session")
def undisturbed(untouched: Project) -> Undisturbed:
    """The study trained without any fault; not to be changed."""
    project = untouched.copied(untouched.root.parent / "undisturbed")
    began = time.monotonic()
    project.snakemake(study="killed")
    seconds = time.monotonic() - began
    print(f"\nundisturbed: {seconds:.1f} s")
    return Undisturbed(project, seconds, state_of(project))
