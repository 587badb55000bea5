"""What MLflow, and what it stands on, has against it, in one line and without secrets."""

from __future__ import annotations

from collections.abc import Iterator

from notafluke.errors import named
from notafluke.redaction import redact

LINE_LENGTH = 400
OTHERS = {"alembic", "azure", "boto3", "botocore", "google", "mlflow", "requests", "sqlalchemy", "sqlite3", "urllib3"}
"""Packages whose errors are failures of MLflow, as are those of the system and a driver that is not installed."""
AWAY = {"ConnectionError", "ConnectTimeout", "EndpointConnectionError", "NewConnectionError", "ReadTimeout", "Timeout"}
"""Names of errors that say that nobody answers."""


def one_line(error: BaseException) -> str:
    """An error in one line, without secrets."""
    return redact(named(error))[:LINE_LENGTH]


def failure_of(error: Exception, uri: str) -> str:
    """What an error says of MLflow at an address; empty where it is none of MLflow's, but a fault of this program."""
    from filelock import Timeout

    if isinstance(error, Timeout):
        return "MLflow: another process has been creating the database for minutes"
    if not isinstance(error, OSError | ImportError) and package(error) not in OTHERS:
        return ""
    if any(is_away(own, uri) for own in chain(error)):
        return f"MLflow at {redact(uri)} does not answer; is it running? (MLFLOW_TRACKING_URI)"
    return f"MLflow: {one_line(error)}"


def is_away(error: BaseException, uri: str) -> bool:
    """Whether an error says that nobody answers."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if type(error).__name__ == "OperationalError":
        return not uri.startswith("sqlite")
    return package(error) in OTHERS and type(error).__name__ in AWAY


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def package(error: BaseException) -> str:
    """The package that an error is of."""
    return type(error).__module__.partition(".")[0]
