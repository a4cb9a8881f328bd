"""`pulso things`: devices, those that are understood and those that are not yet."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from ingest.commands.rejected_command import observation_line
from ingest.commands.terminal import moment, payload_text, printable, show_json, show_table, when, with_database
from pulso.db import Database
from pulso.db.adoption import AdoptionRepository, ListedThing, ThingSettings
from pulso.db.documents import DocumentRepository
from pulso.db.reading import DatastreamRow, ReadingRepository
from pulso.db.rejected import KeptMessage, QuarantinedDevice, RejectedRepository, RejectedState, Selection
from pulso.errors import AppError, ConfigurationError, RejectReason, UnknownThing
from pulso.model import Family, Quality, ThingState
from pulso.rejection import advice

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Devices: list them, see those that are not understood, adopt them.",
)

_TRIED = 20
_SHOWN = 5
_MOST_SHOWN = 2048  # bytes of one payload
_NOT_MAPPED = frozenset({RejectReason.UNDECODED.value, RejectReason.NO_BIRTH.value})
"""Reasons that no mapping mends."""

AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
SetFamily = Annotated[Family | None, typer.Option(help="What it is about.")]
SetZone = Annotated[str | None, typer.Option(help="Zone it stands in.")]
SetName = Annotated[str | None, typer.Option(help="Name for people.")]
SetInterval = Annotated[
    float | None, typer.Option(min=0.1, metavar="SECONDS", help="Time between two observations while it is healthy.")
]
Thing = Annotated[str, typer.Argument(metavar="THING", help="Its id, as its messages tell it.")]


@app.command("list")
def list_things(
    family: Annotated[str | None, typer.Option(help="Only this family; none: those without one.")] = None,
    zone: Annotated[str | None, typer.Option(help="Only this zone; none: those without one.")] = None,
    state: Annotated[ThingState | None, typer.Option(help="Only those in this state.")] = None,
    decoder: Annotated[str | None, typer.Option(help="Only those a decoder or mapping understands.")] = None,
    unread: Annotated[
        bool, typer.Option("--unread", help="Only those whose messages carry numbers that nothing gives a meaning.")
    ] = False,
    newest: Annotated[bool, typer.Option("--newest", help="Those that were met last first, not by id.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most things.")] = 100,
    after: Annotated[str, typer.Option(metavar="THING", help="Go on after this one.")] = "",
    as_json: AsJson = False,
) -> None:
    """List things by id, each with its newest observation."""
    if newest and after:
        raise ConfigurationError("--after goes on by id: leave out --newest, or give a larger --limit")

    async def read(database: Database) -> list[ListedThing]:
        return await AdoptionRepository(database).things(
            limit=limit,
            after=after,
            family=family,
            zone_id=zone,
            state=state,
            decoder=decoder,
            unread=True if unread else None,
            newest=newest,
        )

    things = with_database(read)
    if as_json:
        show_json([thing._asdict() for thing in things])
        return
    show_table(
        "",
        ("id", "family", "zone", "state", "last observed", "decoder", "model", "name"),
        [
            (each.external_id, each.family, each.zone_id, each.state, when(each.last_observed), each.decoder,
             each.model, each.name)
            for each in things
        ],
    )  # fmt: skip
    if len(things) == limit and not newest:
        typer.echo(f"there may be more: --after {printable(things[-1].external_id)}")


@app.command()
def show(thing: Thing, as_json: AsJson = False) -> None:
    """Show one thing: what it is, what it observes, and what was not understood of it."""

    async def read(
        database: Database,
    ) -> tuple[ListedThing, Sequence[DatastreamRow], Sequence[QuarantinedDevice]]:
        return (
            await AdoptionRepository(database).thing(thing),
            await ReadingRepository(database).datastreams(limit=1000, external_id=thing),
            await RejectedRepository(database).quarantined(limit=1, device=thing),
        )

    found, streams, quarantined = with_database(read)
    latest = [
        {
            "observed_property": each.observed_property,
            "unit": each.unit,
            "latest_result": each.latest_result,
            "latest_time": each.latest_time,
            "latest_quality": _quality(each),
        }
        for each in streams
    ]
    if as_json:
        show_json({**found._asdict(), "datastreams": latest, "quarantined": [each._asdict() for each in quarantined]})
        return
    for name, value in found._asdict().items():
        if value is not None and name not in {"datastreams", "unread_fields"}:
            typer.echo(f"{name:18} {printable(when(value) if isinstance(value, datetime) else value)}")
    if latest:
        typer.echo("")
        show_table(
            "",
            ("observes", "latest", "unit", "at", "quality"),
            [
                (each.observed_property, each.latest_result, each.unit, when(each.latest_time), _quality(each))
                for each in streams
            ],
        )
    if found.unread_fields:
        typer.echo(f"\nnot read, because nothing says what it means: {printable(', '.join(found.unread_fields))}")
        typer.echo("to read it, tell it in a profile: docs/reference/mapping.md, 'Profiles'")
    for each in quarantined:
        typer.echo(f"\n{each.messages} messages of it are not understood: {_reasons(each)}")
        typer.echo(f"look at them: pulso things quarantined --show {_quoted(each.device)}")


def _quality(stream: DatastreamRow) -> str | None:
    """In words, of the latest observation."""
    return None if stream.latest_quality is None else Quality(stream.latest_quality).name.lower()


@app.command()
def quarantined(
    show_device: Annotated[
        str | None, typer.Option("--show", metavar="DEVICE", help="Its last messages, and a mapping to start from.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only messages since: ISO 8601, or 2h, 7d ago.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most devices.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List devices whose messages nobody understands; those that tell no id by the pattern of their topics."""
    start = moment(since)

    async def read(database: Database) -> Sequence[QuarantinedDevice]:
        return await RejectedRepository(database).quarantined(limit=limit, device=show_device, since=start)

    devices = with_database(read)
    if show_device is not None:
        _show_device(show_device, devices, as_json=as_json)
        return
    if as_json:
        show_json([each._asdict() for each in devices])
        return
    show_table(
        "",
        ("device", "messages", "last seen", "reasons", "decoder", "topic"),
        [
            (each.device, each.messages, when(each.last_seen), _reasons(each), each.decoder, each.topic)
            for each in devices
        ],
    )
    typer.echo(f"\nlook at one: pulso things quarantined --show {_quoted(devices[0].device)}" if devices else "none")


@app.command()
def adopt(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="As `pulso things quarantined` lists it.")],
    mapping: Annotated[Path | None, typer.Option(metavar="FILE", help="A mapping or profile for it, in TOML.")] = None,
    proposed: Annotated[bool, typer.Option("--proposed", help="Take the mapping that is proposed for it.")] = False,
    profile: Annotated[str | None, typer.Option(help="Name of a device profile that fits it.")] = None,
    family: SetFamily = None,
    zone: SetZone = None,
    name: SetName = None,
    expected_interval: SetInterval = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Adopt a device: try a mapping on its kept messages, keep it, and replay what arrived meanwhile.

    Without a mapping or profile the device is taken as the decoders understand it, for instance one that was in
    quarantine only because it was new.
    """
    from ingest.adoption import document_name, preview
    from pulso.settings import CitySettings, load

    (city,) = load(CitySettings)

    async def read(database: Database) -> tuple[Sequence[KeptMessage], dict[str, str], list[ListedThing]]:
        await AdoptionRepository(database).check_zone(zone)
        things = await AdoptionRepository(database).things(limit=1, external_id=device)
        return await _kept(database, device, _TRIED), await DocumentRepository(database).texts(), things

    kept, documents, known = with_database(read)
    if not kept and not known and document_name(device) not in documents:
        raise UnknownThing(f"no device {device!r}: neither a thing nor a kept message (pulso things quarantined)")
    plan = preview(
        device,
        kept,
        pack=city.pack,
        documents=documents,
        mapping=None if mapping is None else _read(mapping),
        proposed=proposed,
        profile=profile,
    )
    _print_plan(plan)
    if kept and not plan["understood"]:
        raise AppError("none of its messages would be understood; nothing was changed")
    if not yes:
        typer.confirm("adopt it like this?", abort=True)
    things = {str(each["thing_id"]) for each in plan["things"]} | ({device} if known else set())
    settings = ThingSettings(family, zone, name, _interval(expected_interval))

    async def write(database: Database) -> int:
        return await AdoptionRepository(database).adopt(
            things,
            settings,
            replay=Selection(device=device),
            document=plan["document"],
            adopted_by="pulso things adopt",
        )

    _print_adopted(device, sorted(things), settings, with_database(write))


def _print_adopted(device: str, named: Sequence[str], settings: ThingSettings, queued: int) -> None:
    """What was done, and what to look at next."""
    typer.echo(f"adopted; {queued} kept messages wait for their replay")
    if settings != ThingSettings() and device not in named:
        shown = ", ".join(named[:_SHOWN]) + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")
        typer.echo(
            printable(f"zone, interval and the like are set for {shown}; those to come tell theirs in the mapping")
        )
    if named:
        others = f"  (and {len(named) - 1} more)" if len(named) > 1 else ""
        typer.echo(f"look at it: pulso things show {_quoted(named[0])}{others}")
    typer.echo(f"what is still not understood: pulso rejected list --device {_quoted(device)} --state kept")


@app.command()
def mappings(
    show_name: Annotated[str | None, typer.Option("--show", metavar="NAME", help="Print this one.")] = None,
    remove: Annotated[
        str | None, typer.Option(metavar="NAME", help="Use this one no more; what it stored stays.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the mappings and profiles that were adopted, the last one first: of two for one topic it is asked first."""
    documents = list(reversed(with_database(lambda database: DocumentRepository(database).list())))
    wanted = show_name or remove
    found = next((each for each in documents if each.name == wanted), None)
    if wanted is not None and found is None:
        raise ConfigurationError(f"no mapping {wanted!r} was adopted (pulso things mappings lists them)")
    if remove is not None:
        _remove(remove, {each.name: each.document for each in reversed(documents) if each.name != remove})
    elif as_json:
        show_json([each._asdict() for each in ([found] if found else documents)])
    elif found is not None:
        typer.echo(_lines(found.document))
    else:
        rows = [(each.name, when(each.adopted_at), each.adopted_by) for each in documents]
        show_table("", ("name", "adopted", "by"), rows)


def _remove(name: str, others: dict[str, str]) -> None:
    """Remove an adopted document, unless another one needs it."""
    from ingest.adoption import check_devices
    from pulso.settings import CitySettings, load

    (city,) = load(CitySettings)
    check_devices(city.pack, others)
    with_database(lambda database: DocumentRepository(database).delete(name))
    typer.echo(printable(f"{name} is removed; workers go on without it within seconds"))


@app.command("set")
def set_thing(
    thing: Thing,
    family: SetFamily = None,
    zone: SetZone = None,
    name: SetName = None,
    expected_interval: SetInterval = None,
    state: Annotated[ThingState | None, typer.Option(help="active: counts; the others do not.")] = None,
) -> None:
    """Set what a thing is; what is not given stays."""
    settings = ThingSettings(family, zone, name, _interval(expected_interval), state)
    if settings == ThingSettings():
        raise ConfigurationError("nothing to set: give --family, --zone, --name, --expected-interval or --state")
    _change(thing, settings)


@app.command()
def retire(thing: Thing) -> None:
    """Let a thing count no more; what it observed stays. `pulso things set THING --state active` takes it back."""
    _change(thing, ThingSettings(state=ThingState.RETIRED))


def _change(thing: str, settings: ThingSettings) -> None:
    async def write(database: Database) -> ListedThing:
        repository = AdoptionRepository(database)
        await repository.change(thing, settings)
        return await repository.thing(thing)

    now = with_database(write)
    told = (
        now.family or "no family",
        now.zone_id or "no zone",
        now.state,
        f"every {now.expected_interval:g} s",
        now.name,
    )
    typer.echo(printable(f"{now.external_id}: {', '.join(filter(None, told))}"))


def _show_device(device: str, found: Sequence[QuarantinedDevice], *, as_json: bool) -> None:
    from ingest.adoption import UNNAMED

    if not found:
        raise UnknownThing(f"nothing of {device!r} is kept (pulso things quarantined lists what there is)")
    kept = with_database(lambda database: _kept(database, device, _SHOWN))
    proposal = _proposal(kept)
    if as_json:
        messages = [{**each.row._asdict(), "payload_hex": each.payload.hex()} for each in kept]
        show_json({**found[0]._asdict(), "last_messages": messages, "proposed_mapping": proposal})
        return
    each = found[0]
    typer.echo(printable(f"{each.device}: {each.messages} messages, {_reasons(each)}"))
    typer.echo(f"first {when(each.first_seen)}, last {when(each.last_seen)}")
    for message in kept:
        row = message.row
        typer.echo(f"\n#{row.rejected_id}  {when(row.received_at)}  {printable(row.topic)}")
        typer.echo(f"{row.reason}: {printable(row.detail)}")
        typer.echo(payload_text(message.payload, _MOST_SHOWN))
    reason = next(iter(each.reasons), None) if len(each.reasons) == 1 else None
    if reason in _NOT_MAPPED:
        typer.echo(f"\n{advice(str(reason)).meaning}\n{advice(str(reason)).remedy}")
        return
    typer.echo(f"\nproposed mapping:\n\n{_lines(proposal)}\n")
    if f'\nproperty = "{UNNAMED}"' in proposal:
        typer.echo(f"complete it in a file, then: pulso things adopt {_quoted(device)} --mapping FILE")
    elif "observation]]" in proposal:
        typer.echo(f"take it as it is: pulso things adopt {_quoted(device)} --proposed")
        typer.echo(f"or save it, mend it, and: pulso things adopt {_quoted(device)} --mapping FILE")


async def _kept(database: Database, device: str, limit: int) -> Sequence[KeptMessage]:
    repository = RejectedRepository(database)
    rows = await repository.list(Selection(device=device, state=RejectedState.KEPT), limit=limit)
    return await repository.with_bytes([row.rejected_id for row in rows])


def _proposal(kept: Sequence[KeptMessage]) -> str:
    from ingest.adoption import propose_mapping

    try:
        return propose_mapping(kept)
    except AppError as error:
        return f"# nothing can be proposed: {error}"


def _print_plan(plan: dict[str, Any]) -> None:
    if plan["document"] is not None:
        typer.echo(f"mapping {plan['document'][0]}:\n\n{_lines(plan['document'][1])}\n")
    for message in plan["messages"]:
        typer.echo(f"#{message['id']}  {message['outcome']}  {message['decoder'] or 'no decoder'}")
        if message["reason"]:
            typer.echo(f"    {printable(message['reason'])}")
        for each in message["observations"]:
            typer.echo(f"    {observation_line(each)}")
        for note in message.get("notes", ()):
            typer.echo(f"    note: {printable(note)}")
    if plan["messages"]:
        typer.echo(f"{plan['understood']} of its last {len(plan['messages'])} messages are understood")


def _lines(text: str) -> str:
    """Text of several lines as it may be printed."""
    return "\n".join(printable(line) for line in text.strip().splitlines())


def _reasons(device: QuarantinedDevice) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(device.reasons.items()))


def _interval(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--mapping {file}: {getattr(error, 'strerror', None) or error}") from None


def _quoted(text: str) -> str:
    from shlex import quote

    return quote(printable(text))
