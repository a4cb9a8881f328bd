"""The state directory of a one-command run: one run at a time, and how other commands find the one that runs."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pulso.errors import AppError, ConfigurationError


class AlreadyRunning(AppError):
    """Pulso already runs from this directory."""


def _lock_file(home: Path) -> Path:
    return home / "lock"


def _addresses_file(home: Path) -> Path:
    return home / "addresses.json"


@contextmanager
def occupied(home: Path) -> Iterator[None]:
    """Hold the directory for this process.

    Raises AlreadyRunning if another one does, ConfigurationError if there can be no such directory.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
    except PermissionError:
        raise
    except OSError as error:
        raise ConfigurationError(f"the data cannot be kept in {home}: {error.strerror}") from error
    with _lock_file(home).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = _addresses(home).get("PULSO_WEB_URL", "see its terminal")
            raise AlreadyRunning(f"Pulso already runs from {home.resolve()}: {where}") from None
        try:
            yield
        finally:
            _addresses_file(home).unlink(missing_ok=True)


def announce(home: Path, addresses: Mapping[str, str]) -> None:
    """Tell other commands where database and broker are, as environment variables; readable by the owner alone."""
    file = _addresses_file(home)
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(json.dumps(dict(addresses), indent=2) + "\n", encoding="utf-8")


def running_addresses(home: Path) -> Mapping[str, str]:
    """The environment of the run that holds `home` now; empty if none does, or it is not ours to read."""
    try:
        with _lock_file(home).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _addresses(home)
    except OSError:
        return {}
    return {}


def _addresses(home: Path) -> dict[str, str]:
    file = _addresses_file(home)
    if not os.access(file, os.R_OK):
        return {}
    return {str(key): str(value) for key, value in json.loads(file.read_text(encoding="utf-8")).items()}
