"""Pulso's services as the processes they are in production."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from pulso.local.ports import free_port
from tests.support.databases import TestDatabase
from tests.support.servers import MosquittoBroker
from tests.support.waiting import wait_until


class Service:
    """`python -m <module> <arguments>` with a health port; a context manager that ends it gracefully."""

    def __init__(self, module: str, *arguments: str, environment: dict[str, str], log: Path) -> None:
        self.module = module
        self.log = log
        self.health = f"http://127.0.0.1:{environment['PULSO_HEALTH_PORT']}"
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = os.environ | environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start and return at once."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        return self

    def wait_ready(self, within: float = 30.0) -> Self:
        """Return when /readyz says so."""
        wait_until(self._is_ready, within=within, what=f"{self.module} is ready; its log:\n{self.tail()}")
        return self

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def metrics(self) -> dict[str, float]:
        """Samples by name with labels, as /metrics prints them."""
        with urllib.request.urlopen(f"{self.health}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.module} ended:\n{self.tail()}"
        try:
            with urllib.request.urlopen(f"{self.health}/readyz", timeout=5) as answer:
                return bool(json.load(answer))
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def _end(self, with_signal: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(with_signal)
        code = self._process.wait(30)
        self._process = None
        return code

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def environment_for(broker: MosquittoBroker, database: TestDatabase, **more: str) -> dict[str, str]:
    """Settings of one service; each call takes another health port."""
    return {
        "PULSO_MQTT_HOST": broker.host,
        "PULSO_MQTT_PORT": str(broker.port),
        "PULSO_DB_URL": database.dsn,
        "PULSO_HEALTH_PORT": str(free_port()),
        **more,
    }
