"""Secrets kept out of logs, messages, records and MLflow: passwords of addresses, and values of environment variables.

What is redacted is what people read. What a run is (its configuration and key) is never changed; it is refused where it
would hold a secret.
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

SECRET_NAME = re.compile(
    r"TOKEN(?!I)|SECRET|PASSW|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL|_(KEY|PASS|PWD|AUTH)$",
    re.IGNORECASE,
)
"""Names of environment variables that hold secrets (not TOKENIZERS_PARALLELISM, PWD or SSH_ASKPASS)."""

_NOT_IN_ADDRESS = r"\s'\"<>"
# A password may hold @, : and / although it should not, so the last @ counts where there is a colon before the path.
_USER_INFO = re.compile(
    rf"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?:[^/:@{_NOT_IN_ADDRESS}]*:[^{_NOT_IN_ADDRESS}]*|[^/@{_NOT_IN_ADDRESS}]+)@",
    re.IGNORECASE,
)
_PASSWORD = re.compile(rf"://[^/:@{_NOT_IN_ADDRESS}]*:(?P<password>[^{_NOT_IN_ADDRESS}]*)@")
_QUERY = re.compile(
    rf"(?P<name>[?&;](?:[\w.%~-]*(?:token|secret|passw|pwd|api[_-]?key|access[_-]?key|signature|credential)[\w.%~-]*"
    rf"|key|sig|auth|pass)=)[^&;#{_NOT_IN_ADDRESS}]+",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(?P<name>\bauthorization['\"]?\s*[:=]\s*['\"]?(?:(?:bearer|basic|token)\s+)?)[^\s'\",]+", re.I)
_PAIR = re.compile(rf"(?P<name>\b(?:password|passwd|passphrase)=)[^&;,{_NOT_IN_ADDRESS}]+", re.IGNORECASE)


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text with ``***`` in place of secrets.

    Those are user and password of addresses (``scheme://user:password@host``), values in their query strings whose
    names look like secrets, and the values of such variables of the environment (this process's, unless one is given).

    >>> redact("cannot reach postgresql://me:12@db/runs?password=34", {})
    'cannot reach postgresql://***@db/runs?password=***'
    >>> redact("401 for hunter22", {"MLFLOW_TRACKING_PASSWORD": "hunter22"})
    '401 for ***'
    """
    for secret in secret_values(os.environ if environment is None else environment):
        text = text.replace(secret, REDACTED)
    text = _USER_INFO.sub(rf"\g<scheme>{REDACTED}@", text)
    for pattern in (_QUERY, _HEADER, _PAIR):
        text = pattern.sub(rf"\g<name>{REDACTED}", text)
    return text


def secret_values(environment: Mapping[str, str]) -> list[str]:
    """Values of an environment that must not be shown, the longest first; of several lines each one."""
    found: set[str] = set()
    for name, value in environment.items():
        if SECRET_NAME.search(name):
            found |= {value, *value.splitlines()}
        for match in _PASSWORD.finditer(value):
            found |= {match["password"], unquote(match["password"])}
    return sorted((own for own in found if len(own) >= SHORTEST), key=lambda own: (-len(own), own))


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
