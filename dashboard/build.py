"""The build id: what tells a wall that it shows yesterday's page."""

import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

_SHOWN = frozenset({".py", ".js", ".css", ".toml", ".csv", ".svg", ".woff2"})


def build_id(*directories: Path) -> str:
    """Twelve hexadecimal digits over the program's version and every file below `directories`."""
    digest = hashlib.sha256(version("pulso").encode())
    for directory in directories:
        for file in _files(directory):
            digest.update(str(file.relative_to(directory)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _files(directory: Path) -> Iterator[Path]:
    yield from sorted(file for file in directory.rglob("*") if file.suffix in _SHOWN)
