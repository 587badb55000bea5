"""Where MLflow is, and the SQLite database below the results folder: there whole or not at all.

MLflow's own database is only a view, so one that is damaged is moved aside and a new one takes its place.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from filelock import FileLock

from notafluke.errors import UsageError
from notafluke.files import write_atomic
from notafluke.tracking.shown import remembered_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
RESULTS_ID = ".results-id"
"""What tells this results folder from others on one server: a random number."""
REBUILD = "notafluke track rebuild"
TABLES = {"alembic_version", "experiments", "runs", "metrics", "params", "tags"}
PATIENCE = 120.0
"""Seconds that a command waits for another process that creates the database."""
BESIDE = ("-journal", "-wal", "-shm")
SQLITE = "sqlite:///"
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Ending a run on a server would print its address, and ask for it first.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# An open connection would go on writing to a database that has been deleted or replaced.
SQLITE_SETTINGS = {"MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool"}
COMMAND_SETTINGS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "30", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
LIVE_SETTINGS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
log = logging.getLogger(__name__)


def tracking_uri(results: Path) -> str:
    """``MLFLOW_TRACKING_URI``, or the SQLite database below the results folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{(results / DATABASE).as_posix()}"


def local_files(uri: str) -> list[Path]:
    """What an address of MLflow names on this machine, absolute; none where it is a server or in memory.

    A SQLite database with the files beside it, or the folder of MLflow's files.
    """
    is_database = uri.partition(":")[0].partition("+")[0] == "sqlite"
    if is_database:
        # sqlite:///relative, sqlite:////absolute, sqlite:///file:relative, each with ?options
        uri = uri.partition("://")[2].removeprefix("/").partition("?")[0]
    elif uri.startswith("file:"):
        uri = uri.partition("?")[0]
    elif "://" in uri or uri.startswith("databricks"):
        return []
    if uri.startswith("file:"):
        place = uri.removeprefix("file:")
        if place.startswith("//"):
            place = place[2:].removeprefix("localhost")
        uri = unquote(place)
    if uri in ("", ":memory:"):
        return []
    path = Path(uri).resolve()
    return [path, *(path.with_name(f"{path.name}{suffix}") for suffix in BESIDE)] if is_database else [path]


def ui_command(results: Path) -> str:
    """The command that opens MLflow; an address from the environment is not shown, as it may hold a password."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return "make ui   (MLFLOW_TRACKING_URI is set)"
    return f"make ui   or: mlflow ui --backend-store-uri {tracking_uri(results)}"


def own_database(results: Path) -> Path | None:
    """The SQLite database below the results folder; None where ``MLFLOW_TRACKING_URI`` names another place."""
    uri, path = tracking_uri(results), (results / DATABASE).resolve()
    named = uri.removeprefix(SQLITE).partition("?")[0]
    return path if uri.startswith(SQLITE) and Path(named).resolve() == path else None


def is_server(results: Path) -> bool:
    """Whether runs are sent to a tracking server, which keeps the artifacts as well."""
    return tracking_uri(results).startswith(("http", "databricks"))


def results_id(results: Path, patience: float = PATIENCE) -> str:
    """What tells this results folder from others that log to the same server; made at the first call.

    Not to be called by who holds the lock. Raises OSError or StorageError where it cannot be stored.
    """
    path = results / RESULTS_ID
    if found := _stored_id(path):
        return found
    results.mkdir(parents=True, exist_ok=True)
    with lock(results, patience):
        if not (found := _stored_id(path)):
            found = secrets.token_hex(16)
            write_atomic(path, f"{found}\n")
    return found


def _stored_id(path: Path) -> str:
    try:
        found = path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, ValueError):
        return ""
    return found if re.fullmatch(r"[0-9a-f]{32}", found) else ""


def sqlite_uri(path: Path) -> str:
    """The address of a SQLite file; absolute, because MLflow remembers it beyond a change of the working folder."""
    return f"{SQLITE}{path.resolve().as_posix()}"


def lock(results: Path, patience: float = PATIENCE) -> FileLock:
    """Held while something is looked up and then created, so that two processes do not both create it."""
    return FileLock(results / ".mlflow.lock", timeout=patience)


def connect(
    results: Path, live: bool = False, thorough: bool = True, patience: float = PATIENCE, hint: bool = True
) -> MlflowClient:
    """A client whose database exists and is whole; only one process at a time creates it.

    ``live`` is for training, which must not wait long for a server (settings of the user are respected);
    ``thorough`` reads the whole database, not only its head; ``patience`` is how many seconds to wait for another
    process that creates it, ``hint`` says how runs come back into a new one. Raises UsageError where the database is
    of another version of MLflow, and whatever MLflow raises.
    """
    path, uri = own_database(results), tracking_uri(results)
    settle(uri, live)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    quieten()
    results.mkdir(parents=True, exist_ok=True)
    try:
        if path is not None:
            ensure_database(results, path, thorough, patience, hint)
            client = MlflowClient(sqlite_uri(path))
        elif is_server(results):
            client = MlflowClient(uri)
        else:
            with lock(results, patience):
                client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    except MlflowException as error:
        if path is not None and "database schema" in str(error):
            raise UsageError(f"{path.name} is of another version of MLflow; it is made anew with: {REBUILD}") from error
        raise
    return client


def import_mlflow(results: Path) -> None:
    """Import what the live log of a training needs, if it can be: else the live log tells why."""
    uri = tracking_uri(results)
    settle(uri, live=True)
    with suppress(Exception):
        importlib.import_module("mlflow")
        if uri.startswith("sqlite"):
            importlib.import_module("mlflow.store.tracking.sqlalchemy_store")


def settle(uri: str, live: bool) -> None:
    """Set what MLflow reads from the environment, unless the user has."""
    sqlite = SQLITE_SETTINGS if uri.startswith("sqlite") else {}
    for name, value in {**SETTINGS, **sqlite, **(LIVE_SETTINGS if live else COMMAND_SETTINGS)}.items():
        os.environ.setdefault(name, value)


def quieten() -> None:
    """Leave it to us to tell of failures: MLflow logs tracebacks. To be called once MLflow is imported."""
    for name in ("alembic", "mlflow", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file lies there; None where there is none. A database that was deleted and made anew is another one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def ensure_database(results: Path, path: Path, thorough: bool, patience: float, hint: bool) -> None:
    """Create the database where it is missing; move it aside and create it where it is damaged."""
    if path.exists() and not damage(path, thorough):
        return
    with lock(results, patience):
        # Another process may have done it meanwhile.
        wrong = damage(path, thorough) if path.exists() else ""
        if path.exists() and not wrong:
            return
        shown = f"{results.as_posix()}/{path.name}"
        if wrong:
            aside = move_aside(path, "damaged")
            log.warning("%s is damaged (%s); it is now %s. Its runs come back with: %s", shown, wrong, aside, REBUILD)
        elif hint and remembered_runs(results):
            log.warning("%s is missing; a new one is made. Earlier runs come back with: %s", shown, REBUILD)
        create_database(path, results)


def damage(path: Path, thorough: bool) -> str:
    """What is wrong with a SQLite file of MLflow, in a few words; empty where nothing is. It must exist."""
    try:
        if path.stat().st_size == 0:
            return "empty"
        address = f"file:{quote(path.resolve().as_posix())}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, timeout=60)) as connection:
            found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not found >= TABLES:
                return "incomplete"
            if not connection.execute("SELECT 1 FROM alembic_version").fetchone():
                return "incomplete"
            if thorough and (answer := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                return " ".join(str(answer).split())
    except sqlite3.OperationalError:
        # Locked, no permission, disk full: nothing is known to be damaged.
        return ""
    except sqlite3.DatabaseError as error:
        return str(error)
    except OSError:
        return ""
    return ""


def name_aside(path: Path, why: str) -> Path:
    """A free name beside a database."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    number = 1
    while (aside := path.with_name(f"{path.name}.{why}-{now}" + (f"-{number}" if number > 1 else ""))).exists():
        number += 1
    return aside


def move_aside(path: Path, why: str) -> str:
    """Rename a database and what SQLite keeps beside it, and return its new name.

    A journal that stayed would be applied to the next database.
    """
    aside = name_aside(path, why)
    for end in BESIDE:
        beside = path.with_name(path.name + end)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + end))
    path.rename(aside)
    return aside.name


def create_database(path: Path, results: Path) -> None:
    """Make an empty database beside the place where it belongs, then rename it. Whoever calls it holds the lock."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    quieten()
    new = path.with_name(f".{path.name}.new")
    remove_database(new)
    SqlAlchemyStore(sqlite_uri(new), (results / ARTIFACTS).resolve().as_uri())
    for end in BESIDE:
        path.with_name(path.name + end).unlink(missing_ok=True)
    put_in_place(new, path)


def put_in_place(new: Path, path: Path) -> None:
    """Rename a database over another one, once it is on the disk."""
    with new.open("rb") as file:
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_database(path: Path) -> None:
    """Remove a database and what SQLite keeps beside it."""
    for end in ("", *BESIDE):
        path.with_name(path.name + end).unlink(missing_ok=True)


@contextmanager
def nobody_writes(path: Path) -> Iterator[None]:
    """Keep others from writing to a database, if there is a whole one. Raises UsageError where it stays locked."""
    if not path.exists() or damage(path, thorough=False):
        yield
        return
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise UsageError(f"{path.name}: {error}; who uses it? try again later") from error
        except sqlite3.DatabaseError:
            pass
        yield
