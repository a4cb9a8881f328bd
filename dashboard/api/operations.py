"""Operations: the books, messages that were not understood, devices to adopt, and the dry run of a message."""

import asyncio
import base64
import binascii
from datetime import timedelta
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response

from dashboard.api.models import Page
from dashboard.api.operation_models import (
    AdoptedOut,
    AdoptIn,
    BalancePage,
    DecodedOut,
    DecodeIn,
    MovedOut,
    QuarantinedOut,
    RejectedDetail,
    RejectedOut,
    SelectionIn,
    SummaryOut,
)
from dashboard.api.operators import LocalOperator, LocalReader, NeedsJson, is_local
from dashboard.api.parameters import (
    LARGEST_BIG_ID,
    NO_NUL,
    Moment,
    PagingDep,
    ServicesDep,
    cut,
    decode_number,
    decode_place,
    encode_cursor,
    encode_place,
)
from dashboard.problems import BadRequest, documented
from dashboard.services import Services
from pulso.capabilities import capability
from pulso.db.adoption import AdoptionRepository, ThingSettings
from pulso.db.documents import DocumentRepository
from pulso.db.ledger import LedgerRepository
from pulso.db.rejected import KeptMessage, RejectedRepository, RejectedState, Selection
from pulso.errors import ConfigurationError, RejectReason, StorageError

router = APIRouter(tags=["operations"])
log = structlog.get_logger()

MOST_PAYLOAD = 1 << 20  # bytes; more is not decoded either
_LONGEST_BOOKS = timedelta(days=31)
_AT_ONCE = 2
_TRIED = 20  # kept messages that an adoption is tried on
_STEPS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}

Filter = Annotated[str | None, Query(max_length=500, pattern=NO_NUL)]
MessageId = Annotated[int, Path(ge=1, le=LARGEST_BIG_ID)]
Device = Annotated[str, Path(max_length=500, examples=["bin-7"])]

_trying = asyncio.Semaphore(_AT_ONCE)


# --- the books --------------------------------------------------------------------------------------------------------


@router.get("/operations/balance", responses=documented(422, 503))
async def balance(  # noqa: PLR0913, PLR0917 (each is one parameter)
    services: ServicesDep,
    paging: PagingDep,
    since: Annotated[Moment | None, Query(description="Inclusive; an hour before `until`, if not given.")] = None,
    until: Annotated[Moment | None, Query(description="Exclusive; now, if not given.")] = None,
    source: Annotated[Filter, Query(description="Only this source.")] = None,
    step: Annotated[Literal["minute", "hour", "day"], Query(description="Length of a period, in UTC.")] = "minute",
) -> BalancePage:
    """What became of the messages received within [since, until), per source and period, the newest period first.

    received = stored + duplicate + rejected + ignored + returned + in_flight; `difference` is what is missing.
    """
    end = until or services.clock.now()
    start = since or end - timedelta(hours=1)
    if start >= end:
        raise BadRequest("until", f"{end.isoformat()} is not after since {start.isoformat()}")
    if end - start > _LONGEST_BOOKS:
        raise BadRequest(
            "until", f"the range spans {(end - start).days} days; at most {_LONGEST_BOOKS.days} are answered"
        )
    ledger = LedgerRepository(services.gate.database)
    after = decode_place(paging.cursor) if paging.cursor else None
    rows = await ledger.balance(start, end, source=source, step=_STEPS[step], limit=paging.limit + 1, after=after)
    total = await ledger.total(start, end, source=source)
    page, last = cut(rows, paging.limit)
    return BalancePage.of(page, encode_place(last.period, last.source) if last else None, start, end, total)


# --- messages that were not understood --------------------------------------------------------------------------------


def selection(  # noqa: PLR0913, PLR0917 (each is one filter)
    reason: Annotated[RejectReason | None, Query()] = None,
    source: Filter = None,
    device: Annotated[Filter, Query(description="An id, or a pattern that /operations/quarantine gives.")] = None,
    topic_prefix: Filter = None,
    decoder: Annotated[Filter, Query(description="Name, or name@version.")] = None,
    state: Annotated[RejectedState | None, Query()] = None,
    since: Annotated[Moment | None, Query(description="Received at or after.")] = None,
    until: Annotated[Moment | None, Query(description="Received before.")] = None,
) -> Selection:
    """The filters of a list."""
    return Selection(
        reason=reason,
        source=source,
        device=device,
        topic_prefix=topic_prefix,
        decoder=decoder,
        state=state,
        since=since,
        until=until,
    )


SelectionDep = Annotated[Selection, Depends(selection)]


@router.get("/operations/rejected", responses=documented(422, 503))
async def rejected(services: ServicesDep, paging: PagingDep, wanted: SelectionDep) -> Page[RejectedOut]:
    """Messages that were not understood, the newest first."""
    before = decode_number(paging.cursor, LARGEST_BIG_ID) if paging.cursor else None
    rows = await RejectedRepository(services.gate.database).list(wanted, limit=paging.limit + 1, before=before)
    page, last = cut(rows, paging.limit)
    return Page[RejectedOut](
        items=[RejectedOut.of(row) for row in page], next=encode_cursor(str(last.rejected_id)) if last else None
    )


@router.get("/operations/rejected/summary", responses=documented(422, 503))
async def summary(
    services: ServicesDep,
    since: Annotated[Moment | None, Query(description="Received at or after.")] = None,
    until: Annotated[Moment | None, Query(description="Received before.")] = None,
) -> Page[SummaryOut]:
    """How many messages were not understood, by reason, source, decoder and state; the most first."""
    rows = await RejectedRepository(services.gate.database).summary(since, until)
    return Page[SummaryOut](items=[SummaryOut.of(row) for row in rows], next=None)


@router.get("/operations/rejected/{message_id:int}", responses=documented(404, 422, 503))
async def rejected_message(message_id: MessageId, services: ServicesDep) -> RejectedDetail:
    """One message, with its reason in words and what to do about it."""
    return RejectedDetail.of((await _message(services, message_id)).row)


@router.get(
    "/operations/rejected/{message_id:int}/payload",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}, **documented(403, 404, 422, 503)},
    dependencies=[LocalReader],
)
async def payload(message_id: MessageId, services: ServicesDep) -> Response:
    """Its bytes, as they are kept; from this machine only, for nobody knows what is in them."""
    kept = await _message(services, message_id)
    return Response(
        kept.payload,
        media_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="rejected-{message_id}.bin"'},
    )


@router.post("/operations/rejected/replay", responses=documented(403, 415, 422, 503), dependencies=[LocalOperator])
async def replay(wanted: SelectionIn, services: ServicesDep) -> MovedOut:
    """Queue kept messages for a replay through the same path as live ones; nothing is stored twice."""
    repository = RejectedRepository(services.gate.database)
    if wanted.dry_run:
        return MovedOut(messages=await repository.countable(wanted.selection), dry_run=True)
    messages = await repository.queue(wanted.selection)
    log.info("replay_asked_for", messages=messages)
    return MovedOut(messages=messages, dry_run=False)


@router.post("/operations/rejected/discard", responses=documented(403, 415, 422, 503), dependencies=[LocalOperator])
async def discard(wanted: SelectionIn, services: ServicesDep) -> MovedOut:
    """Mark kept messages as of no use: they are listed no more unless asked for, and go when they are too old."""
    repository = RejectedRepository(services.gate.database)
    if wanted.dry_run:
        return MovedOut(messages=await repository.countable(wanted.selection, RejectedState.DISCARDED), dry_run=True)
    messages = await repository.discard(wanted.selection)
    log.info("messages_discarded", messages=messages)
    return MovedOut(messages=messages, dry_run=False)


async def _message(services: Services, message_id: int) -> KeptMessage:
    found = await RejectedRepository(services.gate.database).with_bytes([message_id])
    if not found:
        raise HTTPException(404, f"no rejected message {message_id}; it may have been too old to keep")
    return found[0]


# --- devices that are not understood ----------------------------------------------------------------------------------


@router.get("/operations/quarantine", responses=documented(422, 503))
async def quarantine(
    services: ServicesDep,
    paging: PagingDep,
    device: Filter = None,
    since: Annotated[Moment | None, Query(description="Only messages received at or after.")] = None,
) -> Page[QuarantinedOut]:
    """Devices whose messages are kept because nobody understands them, the last seen first."""
    rows = await RejectedRepository(services.gate.database).quarantined(
        limit=paging.limit + 1,
        device=device,
        since=since,
        after=decode_place(paging.cursor) if paging.cursor else None,
    )
    page, last = cut(rows, paging.limit)
    return Page[QuarantinedOut](
        items=[QuarantinedOut.of(row) for row in page],
        next=encode_place(last.last_seen, last.device) if last else None,
    )


@router.post(
    "/things/{external_id:path}/adopt", responses=documented(403, 404, 415, 422, 503), dependencies=[LocalOperator]
)
async def adopt(external_id: Device, wanted: AdoptIn, services: ServicesDep) -> AdoptedOut:
    """Adopt a device: keep the mapping by which it is understood, say what it is, and replay what was kept of it.

    Refused if none of its last kept messages would be understood; `dry_run` shows what they would be.
    """
    if "\x00" in external_id:
        raise HTTPException(404, f"no device {external_id!r}")
    database = services.gate.database
    letters = RejectedRepository(database)
    kept = await _last_kept(letters, external_id)
    known = await AdoptionRepository(database).things(limit=1, external_id=external_id)
    if not kept and not known:
        raise HTTPException(404, f"no device {external_id!r}: neither a thing nor a kept message")
    plan = await _try(
        "preview",
        external_id,
        kept,
        pack=str(services.pack.path),
        documents=await DocumentRepository(database).texts(),
        mapping=wanted.mapping,
        proposed=wanted.proposed,
        profile=wanted.profile,
    )
    queued = 0
    if not wanted.dry_run:
        if kept and not plan["understood"]:
            raise BadRequest("mapping", f"none of its last {len(kept)} messages would be understood: {_why(plan)}")
        queued = await AdoptionRepository(database).adopt(
            {str(thing["thing_id"]) for thing in plan["things"]} | ({external_id} if known else set()),
            _settings(wanted),
            replay=Selection(device=external_id),
            document=plan["document"],
            adopted_by="api",
        )
        log.info("device_adopted", device=external_id, queued=queued)
    name, text = plan["document"] or (None, None)
    return AdoptedOut(
        device=external_id,
        dry_run=wanted.dry_run,
        document=name,
        mapping=text,
        things=plan["things"],
        understood=plan["understood"],
        messages=plan["messages"],
        queued=queued,
    )


async def _last_kept(letters: RejectedRepository, device: str) -> list[KeptMessage]:
    rows = await letters.list(Selection(device=device, state=RejectedState.KEPT), limit=_TRIED)
    return list(await letters.with_bytes([row.rejected_id for row in rows]))


def _settings(wanted: AdoptIn) -> ThingSettings:
    seconds = wanted.expected_interval
    interval = None if seconds is None else timedelta(seconds=seconds)
    return ThingSettings(wanted.family, wanted.zone, wanted.name, interval)


def _why(plan: dict[str, Any]) -> str:
    return "; ".join(dict.fromkeys(str(each["reason"]) for each in plan["messages"]))[:500]


# --- the dry run ------------------------------------------------------------------------------------------------------


@router.post("/decode", responses=documented(403, 413, 415, 422), dependencies=[NeedsJson])
async def decode(wanted: DecodeIn, services: ServicesDep, request: Request) -> DecodedOut:
    """What a message would be, with the decoders, profiles and mappings of this city; nothing is stored."""
    if wanted.mapping is not None and not is_local(request):
        raise HTTPException(403, "a mapping can be tried only from the machine Pulso runs on")
    answer = await _try(
        "decode",
        wanted.topic,
        _payload(wanted),
        mapping=wanted.mapping,
        received_at=wanted.received_at,
        timezone=wanted.timezone,
        content_type=wanted.content_type,
        pack=str(services.pack.path),
        documents=await _documents(services),
    )
    return DecodedOut.model_validate(answer)


def _payload(wanted: DecodeIn) -> bytes:
    """The bytes to try. Raises BadRequest, HTTPException (413)."""
    try:
        data = (
            base64.b64decode(wanted.payload_base64, validate=True)
            if wanted.payload_base64 is not None
            else (wanted.payload or "").encode()
        )
    except (binascii.Error, ValueError) as error:
        where = "payload" if wanted.payload_base64 is None else "payload_base64"
        raise BadRequest(where, f"cannot be read: {error}") from None
    if len(data) > MOST_PAYLOAD:
        raise HTTPException(413, f"{len(data)} bytes of payload; {MOST_PAYLOAD} at most are decoded")
    return data


async def _documents(services: Services) -> dict[str, str]:
    """Adopted mappings; without a database there are none, and the rest can be tried all the same."""
    try:
        return await DocumentRepository(services.gate.database).texts()
    except StorageError:
        return {}


async def _try(name: str, *arguments: object, **options: object) -> Any:
    """Run what another package does, in a thread, few at a time. Raises BadRequest for what is faulty in a mapping."""
    async with _trying:
        try:
            return await asyncio.to_thread(lambda: capability(name)(*arguments, **options))
        except ConfigurationError as error:
            raise BadRequest("mapping", str(error)) from error
