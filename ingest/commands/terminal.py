"""What the commands for operators have in common: a database for one command, times as people write them, tables."""

import asyncio
import json
import logging
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pulso.db import Database, open_database
from pulso.errors import ConfigurationError
from pulso.settings import DatabaseSettings, load

Result = TypeVar("Result")

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BYTES_OF_A_LINE = 16
_WIDTH_OF_A_FILE = 200


def with_database(work: Callable[[Database], Awaitable[Result]]) -> Result:
    """Open the database of the settings, do the work, close it. Raises StorageError."""
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # it logs each attempt; the last one is told below

    async def run() -> Result:
        (settings,) = load(DatabaseSettings)
        database = await open_database(settings, wait=5.0)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def moment(text: str | None) -> datetime | None:
    """An ISO 8601 time, UTC if it tells no zone, or how long ago: `90s`, `15m`, `2h`, `7d`."""
    if text is None:
        return None
    ago = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if ago:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{text!r} is no time: 2026-11-22T18:00:00Z, or 2h for two hours ago") from None
    return told if told.tzinfo else told.replace(tzinfo=UTC)


def printable(text: object) -> str:
    """Text of a device as it may be printed: what would move the cursor or turn the direction is written out."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", "" if text is None else str(text))


def when(told: datetime | None) -> str:
    """A time in UTC, to the second."""
    return "never" if told is None else told.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; as wide as it needs to be where nobody looks at it but another program."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE, highlight=False)
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(value)) for value in row))
    console.print(table)


def show_json(answer: object) -> None:
    """Print a value as JSON, for machines."""
    typer.echo(json.dumps(answer, ensure_ascii=False, indent=2, default=_as_json))


def _as_json(value: Any) -> object:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def payload_text(payload: bytes, most: int) -> str:
    """The first `most` bytes of a payload: as text where they are text, else as a hex dump."""
    shown = payload[:most]
    more = f"\n… {len(payload) - most} bytes more" if len(payload) > most else ""
    try:
        text = shown.decode("utf-8", "strict" if len(payload) <= most else "ignore")
    except UnicodeDecodeError:
        return _hex_dump(shown) + more
    lines = [line.expandtabs(4) for line in text.splitlines()]
    if sum(1 for line in lines if _UNPRINTABLE.search(line)) or (not text and shown):
        return _hex_dump(shown) + more
    return "\n".join(lines) + more


def _hex_dump(data: bytes) -> str:
    lines = []
    for start in range(0, len(data), _BYTES_OF_A_LINE):
        part = data[start : start + _BYTES_OF_A_LINE]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{start:06x}  {part.hex(' '):{3 * _BYTES_OF_A_LINE - 1}}  {text}")
    return "\n".join(lines)
