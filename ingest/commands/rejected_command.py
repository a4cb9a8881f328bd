"""`pulso rejected`: messages that were not understood, and what to do about them."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ingest.commands.terminal import moment, payload_text, printable, show_json, show_table, when, with_database
from pulso.db import Database
from pulso.db.documents import DocumentRepository
from pulso.db.rejected import KeptMessage, RejectedRepository, RejectedRow, RejectedState, Selection
from pulso.errors import AppError, ConfigurationError, RejectReason
from pulso.rejection import advice

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Messages that were not understood: look at them, replay them after a fix.",
)

_MOST_SHOWN = 4096  # bytes
_WIDE = 60

Reason = Annotated[RejectReason | None, typer.Option(help="Only those with this reason.", show_choices=False)]
Source = Annotated[str | None, typer.Option(help="Only those of this source.")]
Device = Annotated[str | None, typer.Option(help="Only those of this device, or of this pattern of topics.")]
TopicPrefix = Annotated[str | None, typer.Option(help="Only topics that begin so.")]
Decoder = Annotated[str | None, typer.Option(help="Only those this decoder looked at: name, or name@version.")]
State = Annotated[RejectedState | None, typer.Option(help="Only those in this state.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Received at or after: ISO 8601, or 2h, 7d ago.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Received before.")]
Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Only these messages.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
All = Annotated[bool, typer.Option("--all", help="Every kept message.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list")
def list_messages(
    reason: Reason = None,
    source: Source = None,
    device: Device = None,
    topic_prefix: TopicPrefix = None,
    decoder: Decoder = None,
    state: State = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most messages.")] = 50,
    before: Annotated[int | None, typer.Option(metavar="ID", help="Go on after this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """List messages, the newest first."""
    wanted = Selection(None, reason, source, device, topic_prefix, decoder, state, moment(since), moment(until))

    async def read(database: Database) -> Sequence[RejectedRow]:
        return await RejectedRepository(database).list(wanted, limit=limit, before=before)

    rows = with_database(read)
    if as_json:
        show_json([_as_dict(row) for row in rows])
        return
    show_table(
        "",
        ("id", "received", "reason", "state", "device", "topic", "decoder", "detail"),
        [
            (row.rejected_id, when(row.received_at), row.reason, row.state, row.external_id, row.topic, row.decoder,
             row.detail[:_WIDE])
            for row in rows
        ],
    )  # fmt: skip
    if len(rows) == limit:
        typer.echo(f"there may be more: --before {rows[-1].rejected_id}")


@app.command()
def summary(since: Since = None, until: Until = None, as_json: AsJson = False) -> None:
    """Count messages by reason, source, decoder and state."""
    start, end = moment(since), moment(until)
    rows = with_database(lambda database: RejectedRepository(database).summary(start, end))
    if as_json:
        show_json([row._asdict() for row in rows])
        return
    show_table(
        "",
        ("messages", "reason", "state", "source", "decoder", "first", "last"),
        [
            (row.messages, row.reason, row.state, row.source, row.decoder, when(row.first_seen), when(row.last_seen))
            for row in rows
        ],
    )
    for reason in dict.fromkeys(row.reason for row in rows if row.state == RejectedState.KEPT):
        typer.echo(f"\n{reason}: {advice(reason).meaning}\n  {advice(reason).remedy}")


@app.command()
def show(
    message_id: Annotated[int, typer.Argument(metavar="ID")],
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the bytes and nothing else, to pipe into another program.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Show all bytes, however many.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one message: its bytes, why it was not understood, and what it would be today."""

    async def read(database: Database) -> tuple[Sequence[KeptMessage], dict[str, str]]:
        found = await RejectedRepository(database).with_bytes([message_id])
        return found, await DocumentRepository(database).texts()

    found, documents = with_database(read)
    if not found:
        raise AppError(f"no rejected message {message_id}; it may have been too old to keep")
    kept = found[0]
    if raw:
        sys.stdout.buffer.write(kept.payload)
        return
    today = _today(kept, documents)
    if as_json:
        show_json({**_as_dict(kept.row), "payload_hex": kept.payload.hex(), "today": today})
        return
    _print_message(kept, today, len(kept.payload) if full else _MOST_SHOWN)


@app.command()
def replay(
    ids: Ids = None,
    reason: Reason = None,
    source: Source = None,
    device: Device = None,
    topic_prefix: TopicPrefix = None,
    decoder: Decoder = None,
    since: Since = None,
    until: Until = None,
    discarded: Annotated[bool, typer.Option("--discarded", help="Take discarded messages back.")] = False,
    everything: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Send kept messages through the same path again, after something was mended; nothing is stored twice."""
    state = RejectedState.DISCARDED if discarded else None
    wanted = Selection(ids or None, reason, source, device, topic_prefix, decoder, state, moment(since), moment(until))
    _move(wanted, RejectedState.QUEUED, everything=everything, dry_run=dry_run, yes=yes)


@app.command()
def discard(
    ids: Ids = None,
    reason: Reason = None,
    source: Source = None,
    device: Device = None,
    topic_prefix: TopicPrefix = None,
    decoder: Decoder = None,
    since: Since = None,
    until: Until = None,
    everything: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Mark kept messages as of no use: their devices are listed no more; `replay --discarded` takes them back."""
    wanted = Selection(ids or None, reason, source, device, topic_prefix, decoder, None, moment(since), moment(until))
    _move(wanted, RejectedState.DISCARDED, everything=everything, dry_run=dry_run, yes=yes)


def _move(wanted: Selection, target: RejectedState, *, everything: bool, dry_run: bool, yes: bool) -> None:
    if wanted.is_everything and not everything:
        raise ConfigurationError("say which messages (ids or filters), or --all")
    verb = "replay" if target is RejectedState.QUEUED else "discard"
    count = with_database(lambda database: RejectedRepository(database).countable(wanted, target))
    if dry_run or not count:
        typer.echo(f"{count} messages to {verb}")
        return
    if not yes:
        typer.confirm(f"{verb} {count} messages?", abort=True)

    async def move(database: Database) -> int:
        repository = RejectedRepository(database)
        return await (repository.queue(wanted) if target is RejectedState.QUEUED else repository.discard(wanted))

    moved = with_database(move)
    if target is RejectedState.QUEUED:
        typer.echo(f"{moved} messages wait for their replay; pulso rejected summary tells what they came to")
    else:
        typer.echo(f"{moved} messages discarded")


def _today(kept: KeptMessage, documents: dict[str, str]) -> dict[str, Any]:
    """What the message would be with the decoders and mappings of now; a faulty city pack is said, not raised."""
    from ingest.dry_run import dry_run
    from pulso.settings import CitySettings, load

    (city,) = load(CitySettings)
    row = kept.row
    try:
        return dry_run(
            row.topic,
            kept.payload,
            received_at=row.received_at,
            content_type=row.content_type,
            pack=city.pack,
            documents=documents,
        )
    except ConfigurationError as error:
        return {"outcome": "unknown", "decoder": None, "reason": str(error), "observations": []}


def _print_message(kept: KeptMessage, today: dict[str, Any], most: int) -> None:
    row, words = kept.row, advice(kept.row.reason)
    facts = {
        "received": when(row.received_at) + (" (retained by the broker)" if row.retained else ""),
        "topic": row.topic,
        "content type": row.content_type,
        "source": row.source,
        "device": row.external_id,
        "decoder": row.decoder,
        "reason": f"{row.reason}: {words.meaning}",
        "detail": row.detail,
        "what to do": words.remedy,
        "state": f"{row.state}, replayed {row.replays} times, last {when(row.replayed_at)}"
        if row.replays
        else row.state,
    }
    for name, value in facts.items():
        if value:
            typer.echo(f"{name:13} {printable(value)}")
    typer.echo(f"\npayload, {row.size} bytes:\n{payload_text(kept.payload, most)}")
    typer.echo(f"\ntoday it would be: {today['outcome']} ({today['decoder'] or 'no decoder'})")
    if today["reason"]:
        typer.echo(f"  {printable(today['reason'])}")
    for each in today["observations"]:
        typer.echo(f"  {observation_line(each)}")
    if today["outcome"] in ("ingest", "ignore", "metadata") and row.state == RejectedState.KEPT:
        typer.echo(f"replay it: pulso rejected replay {row.rejected_id}")


def observation_line(each: dict[str, Any]) -> str:
    """One observation of a dry run in one line."""
    told = f"{each['thing_id']}  {each['observed_property']} = {each['result']:g} {each['unit']}"
    return printable(f"{told}  at {each['phenomenon_time']}")


def _as_dict(row: RejectedRow) -> dict[str, Any]:
    words = advice(row.reason)
    return {**row._asdict(), "meaning": words.meaning, "remedy": words.remedy}
