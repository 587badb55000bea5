"""Many calls of MLflow's client as one transaction: alone each commits several times, and waits for the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient


@contextmanager
def one_transaction(client: MlflowClient) -> Iterator[None]:
    """Within it all that the client writes to a database is one transaction; with a server, everything as usual.

    What fails in it leaves nothing of it. It is to be short: nobody else can write to a SQLite database meanwhile.
    """
    store = getattr(getattr(client, "_tracking_client", None), "store", None)
    make_session = getattr(store, "ManagedSessionMaker", None)
    if store is None or make_session is None:
        yield
        return
    from mlflow.exceptions import MlflowException

    failure: Exception | None = None
    try:
        with make_session(read_only=False) as session:
            commit = session.commit

            @contextmanager
            def shared(read_only: bool = True) -> Iterator[Any]:
                yield session
                session.flush()

            # Some of MLflow's methods commit by themselves as well.
            store.ManagedSessionMaker, session.commit = shared, session.flush
            try:
                yield
            except Exception as error:
                failure = error
                raise
            finally:
                store.ManagedSessionMaker, session.commit = make_session, commit
    except MlflowException:
        # As such MLflow raises whatever fails in a session; what is none of the database's is to stay what it was.
        if failure is None or type(failure).__module__.startswith("sqlalchemy."):
            raise
        raise failure from None
