"""Log files of child processes, bounded in size.

A child writes to its file itself (opened for appending), so it never waits for us. Bounding copies the file aside and
empties it; lines written between the two steps are lost, which is the price of not standing in between.
"""

import os
import shutil
from pathlib import Path
from typing import BinaryIO


class LogFile:
    """A log of at most about `limit` bytes, and as much again for the one before it."""

    def __init__(self, path: Path, *, limit: int = 10_000_000) -> None:
        self.path = path
        self._limit = limit
        self._begin = 0

    def open(self) -> BinaryIO:
        """Open for appending; readable by its owner alone, as logs may name people and addresses."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._begin = self.path.stat().st_size if self.path.exists() else 0
        return os.fdopen(os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab")

    def bound(self) -> None:
        """Move what is there aside, to `<name>.1`, if it is longer than the limit."""
        if self.path.exists() and self.path.stat().st_size > self._limit:
            shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.1"))
            os.truncate(self.path, 0)
            self._begin = 0

    def tail(self, lines: int = 20) -> str:
        """The last lines since it was opened, read as text."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            file.seek(max(self.path.stat().st_size - 20_000, self._begin))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
