"""Queries as SQL: every `queries/*.sql` file holds named statements, each after a line `-- name --`."""

import re
from collections.abc import Iterator
from importlib.resources import files
from types import MappingProxyType
from typing import LiteralString, cast

_HEADER = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def _statements() -> Iterator[tuple[str, LiteralString]]:
    for file in (files("pulso.db") / "queries").iterdir():
        if file.name.endswith(".sql"):
            _, *parts = _HEADER.split(file.read_text(encoding="utf-8"))
            # psycopg wants literal strings as a guard against injection: these ship with the program
            yield from ((name, cast("LiteralString", text)) for name, text in zip(parts[::2], parts[1::2], strict=True))


SQL = MappingProxyType(dict(_statements()))
