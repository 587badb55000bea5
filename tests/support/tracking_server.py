"""A tracking server that can fail: MLflow's own application, behind faults that a test switches on.

``TrackingServer(folder)`` serves a SQLite database in a thread of this process, one at a time. ``fault`` is what
happens to requests: "" nothing, "500" an error, "hang" no answer until the fault ends, "lost" the request is carried
out but answered by an error. ``down()`` closes the port, ``up()`` opens it again.

As a program, ``python tracking_server.py FOLDER PORT``, without faults, for tests that kill it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

from mlflow import MlflowClient

HANG = 30.0  # seconds after which a request that hangs fails, should a test forget it


class TrackingServer:
    """An MLflow server with its data below ``folder``; it starts at once."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        settings = {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/server.db",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        }
        self.environment = mock.patch.dict(os.environ, settings)
        self.environment.start()
        from mlflow.server import app, handlers

        # What MLflow keeps of an earlier server of this process.
        handlers._tracking_store = None
        handlers._artifact_repo = None
        self.app: Callable[..., Iterable[bytes]] = app
        self.folder = folder
        self.fault = ""
        self.faults_after = 0
        self.released = threading.Event()
        self.requests: list[str] = []
        self.port = port
        self.server: Any = None
        # The first request makes the database, which takes a second or two.
        handlers._get_tracking_store()
        self.up()

    @property
    def database(self) -> MlflowClient:
        """What the server has stored, past the server."""
        return MlflowClient(f"sqlite:///{self.folder}/server.db")

    def artifacts(self, run_id: str) -> list[str]:
        """Names of the artifacts of a run."""
        paths = (self.folder / "artifacts").glob(f"*/{run_id}/artifacts/**/*")
        return sorted(path.as_posix().rpartition("/artifacts/")[2] for path in paths if path.is_file())

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Listen, at the same port as before."""
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Silent(WSGIRequestHandler):
            def log(self, *_: Any) -> None:
                pass

        self.server = make_server("127.0.0.1", self.port, self.answer, threaded=True, request_handler=Silent)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def down(self) -> None:
        """Refuse connections."""
        self.server.shutdown()
        self.server.server_close()

    def fail(self, fault: str, after: int = 0) -> None:
        """Let all requests fail this way, ``after`` so many that are answered."""
        self.released.clear()
        self.fault, self.faults_after = fault, len(self.requests) + after

    def recover(self) -> None:
        """Answer again."""
        self.fault = ""
        self.released.set()

    def close(self) -> None:
        self.recover()
        self.down()
        self.environment.stop()

    def answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The WSGI application."""
        self.requests.append(environ["PATH_INFO"])
        fault = self.fault if len(self.requests) > self.faults_after else ""
        if fault == "hang":
            self.released.wait(HANG)
        if fault == "lost":
            b"".join(self.app(environ, lambda *_: lambda _: None))
        if fault:
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"a fault that a test has switched on"]
        return self.app(environ, start_response)


if __name__ == "__main__":
    TrackingServer(Path(sys.argv[1]), int(sys.argv[2]))
    print("ready", flush=True)
    threading.Event().wait()
