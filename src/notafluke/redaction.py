"""Secrets kept out of logs, messages, records and MLflow: passwords of addresses, and values of environment variables.

What is redacted is what people read. What a run is (its configuration and key) is never changed; it is refused where it
would hold the password of an address or the value of a secret variable.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from urllib.parse import unquote

REDACTED = "***"
"""What stands in place of a secret."""
SHORTEST = 6
"""Characters of the shortest value that counts as a secret: shorter ones are words such as true and none."""
WHOLE_WORD = 8
"""Characters up to which a secret is looked for as a whole word: a short one may be part of an ordinary word."""
LONGEST_NUMBER = 11
"""Digits up to which a number is a setting or a port, and no secret."""

SECRET_NAME = re.compile(
    r"TOKEN(?!I|S\b)|SECRET|PASSW|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL|_(KEY|PASS|PWD|AUTH)$",
    re.IGNORECASE,
)
"""Names of environment variables that hold secrets (not TOKENIZERS_PARALLELISM, MAX_TOKENS, PWD or SSH_ASKPASS)."""
NO_SECRET_NAME = re.compile(r"_(DIR|PATH|FILE|URL|BACKEND|NAME)$", re.IGNORECASE)
"""Names of those that say where a secret is: PASSWORD_STORE_DIR, SECRETS_BACKEND."""

# Every repetition below is bounded, or begins where the one before it ended, so the time grows with the text only.
_NOT_IN_ADDRESS = r"\s'\"<>"
# A password may hold @ and : although it should not, so the last @ before the path counts.
_USER = rf"(?<=[a-z0-9+.-])://(?!@)(?P<user>[^/:@{_NOT_IN_ADDRESS}]*)"
_PASSWORD = re.compile(rf"{_USER}:(?P<password>[^/{_NOT_IN_ADDRESS}]*)@", re.IGNORECASE)
_USER_INFO = re.compile(rf"{_USER}(?::[^/{_NOT_IN_ADDRESS}]*)?@", re.IGNORECASE)
_QUERY = re.compile(
    rf"(?P<name>[?&;](?:[\w.%~-]{{0,64}}(?:token|secret|passw|pwd|api[_-]?key|access[_-]?key|signature|credential)"
    rf"[\w.%~-]{{0,64}}|sig|auth|pass|key(?==[\w-]{{16}}))=)[^&;#{_NOT_IN_ADDRESS}]+",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?P<name>\bauthorization['\"]?\s{0,8}[:=]\s{0,8}['\"]?(?:(?:bearer|basic|token)\s{1,8})?)[^\s'\",]+", re.I
)
# What is called a token or a secret may be a word of a text; one of 6 characters and more is none.
_CALLED = (
    r"(?:password|passwd|passphrase"
    r"|(?:token|secret|api[_-]?key|access[_-]?key)(?=['\"]?\s{0,8}[:=\s]\s{0,8}['\"]?[^\s'\"]{6}))"
)
_PAIR = re.compile(
    rf"(?<![\w.%~-])(?P<name>(?:[\w.-]{{0,64}}[._-])?{_CALLED}=['\"]?)[^&;,{_NOT_IN_ADDRESS}]+", re.IGNORECASE
)
_QUOTED = re.compile(
    rf"(?P<name>(?P<quote>['\"])[\w.-]{{0,64}}{_CALLED}(?P=quote)\s{{0,8}}:\s{{0,8}}(?P<end>['\"]))"
    r"(?:(?!(?P=end))[^\\\n]|\\.)+",
    re.IGNORECASE,
)
_OPTION = re.compile(rf"(?<!\S)(?P<name>--(?:[\w-]{{0,64}}-)?{_CALLED} ['\"]?)(?!-)[^{_NOT_IN_ADDRESS}]+", re.I)


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text with ``***`` in place of secrets.

    Those are user and password of addresses (``scheme://user:password@host``), values whose names look like secrets (in
    query strings, headers, JSON and options of command lines), and the values of such variables of the environment
    (this process's, unless one is given).

    >>> redact("cannot reach postgresql://me:12@db/runs?password=34", {})
    'cannot reach postgresql://***@db/runs?password=***'
    >>> redact("401 for hunter22", {"MLFLOW_TRACKING_PASSWORD": "hunter22"})
    '401 for ***'
    """
    for secret in secret_values(os.environ if environment is None else environment):
        if secret in text:
            text = _place_of(secret).sub(REDACTED, text)
    text = _USER_INFO.sub(rf"://{REDACTED}@", text)
    for pattern in (_QUERY, _HEADER, _PAIR, _QUOTED, _OPTION):
        text = pattern.sub(rf"\g<name>{REDACTED}", text)
    return text


def holds_secret(text: str, environment: Mapping[str, str] | None = None) -> bool:
    """Whether a text holds the password of an address, or the value of a variable that is a secret.

    Less than what is redacted: ``data/a?key=date.csv`` is an ordinary name of a file.
    """
    if _PASSWORD.search(text):
        return True
    secrets = secret_values(os.environ if environment is None else environment)
    return any(secret in text and _place_of(secret).search(text) for secret in secrets)


def secret_values(environment: Mapping[str, str]) -> list[str]:
    """Values of an environment that must not be shown, the longest first; of several lines each one."""
    found: set[str] = set()
    for name, value in environment.items():
        if SECRET_NAME.search(name) and not NO_SECRET_NAME.search(name):
            found |= {value, *value.splitlines()}
        for match in _PASSWORD.finditer(value):
            if match["password"] != match["user"]:
                found |= {match["password"], unquote(match["password"])}
    return sorted((own for own in found if _may_be_secret(own)), key=lambda own: (-len(own), own))


def _may_be_secret(value: str) -> bool:
    return len(value) >= SHORTEST and not (value.isdecimal() and len(value) <= LONGEST_NUMBER)


def _place_of(secret: str) -> re.Pattern[str]:
    """Where a secret stands: anywhere, a short one as a whole word."""
    own = re.escape(secret)
    return re.compile(own if len(secret) > WHOLE_WORD else rf"(?<!\w){own}(?!\w)")


class RedactingFormatter(logging.Formatter):
    """A formatter that redacts whole messages, the traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return redact(super().format(record))


def redacting_handler(template: str, times: str | None = None) -> logging.Handler:
    """A handler for stderr whose messages are redacted; format and times as for ``logging.Formatter``."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(template, times))
    return handler


def redact_logging(logger: logging.Logger) -> None:
    """Let the handlers that a logger has already, Hydra's for example, redact their messages."""
    for handler in logger.handlers:
        former = handler.formatter or logging.Formatter()
        if not isinstance(former, RedactingFormatter):
            handler.setFormatter(_Redacted(former))


class _Redacted(RedactingFormatter):
    """Redacts what another formatter makes."""

    def __init__(self, former: logging.Formatter) -> None:
        super().__init__()
        self._former = former

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return redact(self._former.format(record))


def show_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What Python writes of an exception that nobody caught, redacted; for ``sys.excepthook``."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


@contextmanager
def redacted_tracebacks() -> Iterator[None]:
    """End the program with exit code 1 and a redacted traceback on any exception, before somebody else writes one."""
    try:
        yield
    except Exception as error:
        show_exception(type(error), error, error.__traceback__)
        raise SystemExit(1) from None
