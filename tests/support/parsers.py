"""Parsers of files that users write, to be tried on mutated ones: each may refuse with a UsageError, and no other."""

from __future__ import annotations

import contextlib
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from mutations import mutate_bytes, mutate_csv, mutate_tree
from quakes import catalogue, row

from notafluke.errors import UsageError
from notafluke.external import read_scores, request_of
from notafluke.study_file import cells_per_job, load_study
from notafluke.tasks.lotto_csv import LottoFile
from notafluke.tasks.stock_prices import StockPrices
from notafluke.tasks.stock_table import StockTable
from notafluke.tasks.usgs import EarthquakeCatalogue

REPOSITORY = Path(__file__).parents[2]
STUDIES = ("demo", "claims", "claims_quick", "components")


@dataclass
class Fuzzed:
    """What became of the inputs, by parser; ``faults`` are the inputs on which another exception was raised."""

    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, other: Fuzzed) -> None:
        """Count what another process has tried too."""
        self.read += other.read
        self.refused += other.refused
        self.faults += other.faults

    def tried(self) -> int:
        """How many inputs."""
        return sum(self.read.values()) + sum(self.refused.values()) + len(self.faults)

    def parse(self, name: str, content: bytes, parser: Callable[[], object]) -> None:
        """Call a parser and note what it makes of an input: a result, a UsageError of one line, or a fault."""
        try:
            parser()
        except UsageError as error:
            self.refused[name] += 1
            if "\n" in str(error) or not str(error).strip():
                self.faults.append(f"{name}: no line of its own: {str(error)!r}, of {content!r}")
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name} line {place.lineno}"
            self.faults.append(f"{name}: {type(error).__name__} in {where}: {error}, of {content!r}")
        else:
            self.read[name] += 1


def fuzz_studies(folder: Path, trials: range, seed: int, names: tuple[str, ...] = STUDIES) -> Fuzzed:
    """Read a mutated study for each trial, one half changed in their bytes and the other in their structure."""
    conf = folder / "conf"
    shutil.copytree(REPOSITORY / "conf", conf)
    originals = {name: (conf / "study" / f"{name}.yaml").read_bytes() for name in names}
    trees = {name: yaml.safe_load(content) for name, content in originals.items()}
    fuzzed = Fuzzed()
    with contextlib.chdir(folder):
        for trial in trials:
            rng = np.random.default_rng([seed, trial])
            name = names[int(rng.integers(len(names)))]
            if rng.random() < 0.5:
                content = mutate_bytes(rng, originals[name])
            else:
                tree = mutate_tree(rng, trees[name])
                content = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass")
            (conf / "study" / "mutated.yaml").write_bytes(content)
            fuzzed.parse(name, content, lambda: (load_study(conf, "mutated"), cells_per_job(conf, "mutated")))
    return fuzzed


def fuzz_tables(folder: Path, trials: range, seed: int) -> Fuzzed:
    """Read a mutated CSV file for each trial, in turn for each of the readers."""
    folder.mkdir(parents=True, exist_ok=True)
    fuzzed = Fuzzed()
    originals = tables()
    readers = readers_of(folder)
    for trial in trials:
        rng = np.random.default_rng([seed, trial])
        name = list(readers)[trial % len(readers)]
        text = originals[name]
        content = mutate_csv(rng, text) if rng.random() < 0.6 else mutate_bytes(rng, text.encode())
        path = folder / f"{name}.csv"
        path.write_bytes(content)
        fuzzed.parse(name, content, lambda name=name, path=path: readers[name](path))  # type: ignore[misc]
    return fuzzed


def readers_of(folder: Path) -> Mapping[str, Callable[[Path], object]]:
    """The readers of the users' CSV files by what they read."""
    columns = {name: name for name in ("task", "treatment", "seed", "score", "status")}

    def scores(path: Path) -> object:
        return read_scores(request_of(path, "tanh", "loss", True, columns, 0.05, "1%", "0.5", False))

    def lotto(path: Path) -> object:
        return LottoFile(str(path), None).prepare(folder)

    def usgs(path: Path) -> object:
        return EarthquakeCatalogue(str(path), "2000-01-01", "2000-01-28").prepare(folder)

    def stock(path: Path) -> object:
        return StockPrices(str(path)).prepare(folder)

    def stock_table(path: Path) -> object:
        return StockTable(str(path), None, "2030-12-31").prepare(folder)

    return {"scores": scores, "stock": stock, "stock_table": stock_table, "lotto": lotto, "usgs": usgs}


def tables() -> dict[str, str]:
    """A file that each reader takes, small, so that a mutation often falls where it matters."""
    scores = [f"{task},{arm},{seed},{0.1 * seed:.3f},ok" for task, arm, seed in _runs()]
    days = [f"2000-01-{day:02d}" for day in range(1, 29)]
    draws = [
        f'"649",{draw},0,"2001-01-{draw:02d}",{",".join(str(5 * place + draw % 5) for place in range(1, 7))},9'
        for draw in range(1, 25)
    ]
    drawn = ",".join(f'"NUMBER DRAWN {place}"' for place in range(1, 7))
    return {
        "scores": "\n".join(["task,treatment,seed,score,status", *scores]) + "\n",
        "stock": "\n".join(["Date,Close,High,Low", *(f"{day},{100 + i},{101 + i},99" for i, day in enumerate(days))]),
        "stock_table": "\n".join(["Date,AAA,BBB,CCC", *(f"{day},{100 + i},{50 + i},7" for i, day in enumerate(days))]),
        "lotto": "\n".join([f'"PRODUCT","DRAW NUMBER","SEQUENCE NUMBER","DRAW DATE",{drawn},"BONUS NUMBER"', *draws]),
        "usgs": catalogue(*(row(f"{day}T03:04:05.678Z", mag=4.5 + i / 20) for i, day in enumerate(days))),
    }


def _runs() -> Iterator[tuple[str, str, int]]:
    for task in ("adding", "text"):
        for arm in ("tanh", "iris"):
            for seed in range(6):
                yield task, arm, seed
