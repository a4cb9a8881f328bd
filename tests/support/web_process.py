"""The web process as a child process, as `pulso web` runs it."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from pulso.local.ports import LOOPBACK, free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


class WebProcess:
    """One web process on a port of its own; `stop` and `start` keep the port."""

    def __init__(self, dsn: str, log: Path, city: str = "cdmx") -> None:
        self.port = free_port()
        self.address = f"http://{LOOPBACK}:{self.port}"
        self.log = log
        self.city = city
        self._dsn = dsn
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and return when it is ready, database included."""
        environment = {**os.environ, "PULSO_DB_URL": self._dsn, "PULSO_CITY_PACK": self.city}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dashboard", "--port", str(self.port)],
                stdout=log, stderr=log, env=environment, cwd=ROOT,
            )  # fmt: skip
        wait_until(self.is_ready, within=30, what=f"web is ready, see {self.log}")

    def is_ready(self) -> bool:
        """Whether /readyz says so; fails if the process has ended."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        return self.status("/readyz") == 200

    def status(self, path: str) -> int:
        """Status of a GET; 0 if nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.address}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return int(error.code)
        except (URLError, OSError):
            return 0

    def get(self, path: str) -> dict[str, object]:
        """The JSON of a GET."""
        with urllib.request.urlopen(f"{self.address}{path}", timeout=5) as answer:
            body: dict[str, object] = json.loads(answer.read())
            return body

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        assert self._process is not None
        self._process.send_signal(with_signal)
        code = self._process.wait(15)
        self._process = None
        return code

    def end(self) -> None:
        """Kill it if it still runs."""
        if self._process is not None:
            self.stop(signal.SIGKILL)


@contextmanager
def running_web(dsn: str, directory: Path, city: str = "cdmx") -> Iterator[WebProcess]:
    """A ready web process, killed at the end."""
    web = WebProcess(dsn, directory / "web.log", city)
    try:
        web.start()
        yield web
    finally:
        web.end()
