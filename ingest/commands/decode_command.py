"""`pulso decode`: a payload on standard input, what it means on standard output."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pulso.errors import ConfigurationError

app = typer.Typer(
    add_completion=False, help="Show what a payload would be understood as; needs no broker and no database."
)


@app.callback(invoke_without_command=True)
def decode(
    topic: Annotated[str, typer.Option(help="MQTT topic the payload was published on.")],
    mapping: Annotated[
        Path | None, typer.Option(help="File of the mapping language to try; it goes before those of the city pack.")
    ] = None,
    received_at: Annotated[
        str | None, typer.Option(metavar="ISO", help="Time of receipt, for payloads without a time; now if not given.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="TZ", help="Clock of the site, for times without a zone; else the city's.")
    ] = None,
    content_type: Annotated[str | None, typer.Option(help="MQTT 5 content type of the message.")] = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="Print a mapping for the payload instead, as a file to start from.")
    ] = False,
) -> None:
    """Read a payload from standard input and print as JSON what Pulso would make of it.

    Nothing is stored and nothing is sent. The outcome is `ingest` (observations follow), `ignore` (valid, nothing
    measured), `metadata` (describes a device), `undecoded` (known envelope, bytes that need the device's codec) or
    `quarantine` (not understood: the reason says why; `--propose` writes a mapping to start from).

    Try: echo '{"observations": {"speed": 31.4}}' | pulso decode --topic pulso/v1/traffic/det-7
    """
    import msgspec

    from ingest.dry_run import dry_run
    from pulso.settings import CitySettings, load

    (city,) = load(CitySettings)
    if sys.stdin.isatty():
        print("pulso decode: type or paste the payload, then Ctrl-D", file=sys.stderr)
    payload = sys.stdin.buffer.read()
    if propose:
        from ingest.message import RawMessage
        from ingest.proposals.propose import propose as write_mapping

        at = _moment(received_at) or datetime.now(UTC)
        print(write_mapping([RawMessage(topic, payload, round(at.timestamp() * 1e6), content_type=content_type)]))
        return
    answer = dry_run(
        topic,
        payload,
        mapping=None if mapping is None else _read(mapping),
        mapping_name=None if mapping is None else str(mapping),
        received_at=_moment(received_at),
        timezone=timezone,
        content_type=content_type,
        pack=city.pack,
    )
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--mapping {file}: {getattr(error, 'strerror', None) or error}") from None


def _moment(text: str | None) -> datetime | None:
    """The time of --received-at; without a zone it is UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--received-at {text!r} is no ISO 8601 time, like 2026-11-22T18:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
