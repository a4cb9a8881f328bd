"""`pulso up` as a person runs it: a process whose words are read and which is stopped with Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until


class OneCommandRun:
    """One `pulso up` in a directory of its own; `words` is what it printed so far."""

    def __init__(self, directory: Path, *arguments: str, **environment: str) -> None:
        self._output = directory / f"output-{time.monotonic_ns()}"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PULSO_", "PG"))}
        self.home = directory / ".pulso"
        self.started = time.monotonic()
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pulso", "up", *arguments],
                cwd=directory,
                env={**inherited, "COLUMNS": "200", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def words(self) -> str:
        return self._output.read_text(errors="replace")

    def wait_for(self, pattern: str, *, within: float = 30.0) -> re.Match[str]:
        """The first place where the output matches; fails with the output if the run ends before."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.words)
            assert found or self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.words}"
            return found

        found = wait_until(look, within=within, what=f"{pattern!r} in the output")
        assert found is not None
        return found

    def wait_ready(self, within: float = 40.0) -> None:
        """Return when the addresses are printed."""
        self.wait_for(r"Pulso · .* · ready after \d+ s", within=within)

    @property
    def addresses(self) -> dict[str, str]:
        """What it announces to other commands."""
        announced: dict[str, str] = json.loads((self.home / "addresses.json").read_text())
        return announced

    def get(self, path: str) -> Any:
        """The JSON at a path of its web server; None while there is no answer of status 200."""
        try:
            with urllib.request.urlopen(self.addresses["PULSO_WEB_URL"] + path, timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError, TimeoutError, FileNotFoundError):
            return None

    def children(self) -> dict[int, str]:
        """Command lines by process id of all that descend from it."""
        found: dict[int, str] = {}
        parents = {self.process.pid}
        while parents:
            mine = {pid: line for pid, (parent, line) in _processes().items() if parent in parents and pid not in found}
            found |= mine
            parents = set(mine)
        return found

    def pid_of(self, name: str) -> int:
        """The process that the last 'started' or the service's command line belongs to."""
        marks = {"database": "-D ", "broker": "mosquitto"}
        mark = marks.get(name, f"-m pulso {name}")
        return next(
            pid for pid, line in _processes_of(self.process.pid).items() if mark in line and "postgres:" not in line
        )

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def end(self) -> None:
        """See to it that nothing is left, whatever the test did."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process, by id."""
    found: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[int(entry.name)] = (parent, line)
    return found


def _processes_of(parent: int) -> dict[int, str]:
    return {pid: line for pid, (of, line) in _processes().items() if of == parent}
