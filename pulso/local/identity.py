"""Whom servers run as that must not run as root, and where such a user can reach files.

PostgreSQL refuses to run as root, and a broker has no need to. When we are root, both run as an existing user
without privileges; that user must be able to walk to its programs and data, which it cannot below a private
directory such as /root.
"""

import hashlib
import os
import pwd
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulso.errors import ConfigurationError

_CANDIDATES = ("postgres", "pulso", "nobody")
_SHARED_HOME = Path("/var/lib/pulso")


@dataclass(frozen=True, slots=True)
class Identity:
    """An operating system user without privileges."""

    name: str
    uid: int
    gid: int


def unprivileged() -> Identity | None:
    """The user servers run as instead of root; None if we are not root. Raises ConfigurationError."""
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(name, entry.pw_uid, entry.pw_gid)
    raise ConfigurationError(f"none of the users {', '.join(_CANDIDATES)} exists: the database does not run as root")


def reaches(identity: Identity | None, path: Path) -> bool:
    """Whether `identity` may walk to `path`; the parts of it that do not exist yet are no obstacle."""
    if identity is None:
        return True
    return all(_may_enter(identity, folder.stat()) for folder in (path, *path.parents) if folder.is_dir())


def _may_enter(identity: Identity, folder: os.stat_result) -> bool:
    if folder.st_uid == identity.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == identity.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def home_for(identity: Identity | None, wanted: Path) -> Path:
    """`wanted`, or a directory that stands for it below /var/lib/pulso if `identity` cannot walk there."""
    wanted = wanted.resolve()
    if reaches(identity, wanted):
        return wanted
    return _SHARED_HOME / hashlib.sha256(str(wanted).encode()).hexdigest()[:12]


def own_directory(identity: Identity | None, path: Path) -> None:
    """Make `path`, open to its owner alone, and give it and all it holds to `identity`."""
    path.mkdir(parents=True, exist_ok=True)
    if identity is None or path.stat().st_uid == identity.uid:
        return
    for item in (path, *path.rglob("*")):
        os.chown(item, identity.uid, identity.gid, follow_symlinks=False)
    path.chmod(0o700)


def write_private(identity: Identity | None, file: Path, text: str) -> None:
    """Write a file that only `identity` (or we) may read."""
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    if identity is not None:
        os.chown(file, identity.uid, identity.gid)


def reachable_copy(identity: Identity | None, base: Path, parts: Sequence[str], version: str) -> Path:
    """`base`, or a directory with copies of its `parts` if `identity` cannot walk to them; one is kept per version.

    Parts keep their places relative to each other, as programs find their libraries by that.
    """
    if all(reaches(identity, base / part) for part in parts):
        return base
    copy = _SHARED_HOME / version
    if not copy.is_dir():
        draft = copy.with_name(f"{copy.name}.{os.getpid()}")
        for part in parts:
            shutil.copytree(base / part, draft / part, symlinks=True)
        draft.rename(copy)
    return copy
