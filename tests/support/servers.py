"""Private servers of a test run: each is a child process that can be killed and started again."""

import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pulso.local.broker import LIMITS, mosquitto
from pulso.local.identity import own_directory, unprivileged
from pulso.local.ports import LOOPBACK, free_port, is_free
from pulso.local.postgres import PostgresServer
from pulso.local.spawn import spawn_options
from tests.support.waiting import wait_until

__all__ = ["LIMITS", "MosquittoBroker", "PostgresProcess", "scratch_directory"]


def scratch_directory(name: str) -> Path:
    """A new directory that unprivileged servers can reach, which pytest's own are not when root runs the tests."""
    path = Path(tempfile.mkdtemp(prefix=f"pulso-test-{name}-"))
    path.chmod(0o755)
    return path


class _Process:
    """One child process; `log` holds what it printed, over all its lives."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home / "log"
        self._identity = unprivileged()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not running"
        return self._process.pid

    def _launch(self, command: tuple[str, ...]) -> None:
        assert self._process is None, "runs already"
        options = spawn_options(self._identity, death_signal=signal.SIGKILL)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home, **options
            )

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(with_signal)
        self._process.wait(20)
        self._process = None

    def _check_alive(self) -> bool:
        assert self._process is not None
        code = self._process.poll()
        assert code is None, f"ended with {code}: {self.log.read_text(errors='replace')[-2000:]}"
        return True


class MosquittoBroker(_Process):
    """A real Mosquitto on a free loopback port, with the limits Pulso ships, anonymous access and persistence."""

    host = LOOPBACK

    def __init__(self, program: Path, home: Path, limits: Mapping[str, str] = MappingProxyType({})) -> None:
        """`limits` take the place of those Pulso ships."""
        super().__init__(home)
        own_directory(self._identity, home)
        self.port = free_port()
        self._command = mosquitto(program, home, self.port, self._identity, limits).command

    def start(self) -> None:
        """Start and return when it listens; queued messages of an earlier life are there again after `stop`."""
        self._launch(self._command)
        wait_until(lambda: self._check_alive() and not is_free(self.port), what="broker listens")

    def stop(self) -> None:
        """End it the regular way: it saves sessions and queues."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL: what it had not saved is gone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the regular way, and start."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class PostgresProcess(_Process):
    """A private PostgreSQL server; `kill` and `start` keep the data."""

    def __init__(self, programs: Path, home: Path, settings: dict[str, str]) -> None:
        super().__init__(home)
        # Without fsync a killed server still finds its data in the system's cache; only a power cut would lose any.
        quick = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "256MB", "max_connections": "200"}
        self.server = PostgresServer(programs, home, free_port(), self._identity, {**quick, **settings})

    def url(self, database: str) -> str:
        """Address of one database."""
        return self.server.url(database)

    def start(self) -> None:
        """Start and return when it takes connections."""
        self.server.prepare()
        self._launch(self.server.command())
        wait_until(lambda: self._check_alive() and self.server.is_ready(), within=30, what="database is ready")

    def stop(self) -> None:
        """Fast shutdown: connections are closed, nothing needs recovery."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the postmaster with SIGKILL; its children follow, and the next start recovers from the log."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Fast shutdown, and start."""
        self.stop()
        self.start()
