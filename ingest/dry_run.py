"""What a message would be, without broker and database: `pulso decode`, and the same function for the API."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from ingest.assess import Assessor
from ingest.interpret import Interpreter, NotUnderstood
from ingest.limits import admitted_unit, check_observations, check_thing
from ingest.mapping import DeviceBook, device_paths, load_devices
from ingest.message import Context, Incoming, MessageOutcome, RawMessage, Reported
from ingest.trial import notes
from ingest.vocabulary import family_of
from pulso.city import CityPack, load_pack
from pulso.city.assessment import load_assessment
from pulso.db.observations import NO_TIME, ObservationColumns
from pulso.errors import ConfigurationError, DecodeError
from pulso.model import Quality, from_micros, to_micros
from pulso.units import display

_COUNTS = ("count", "crossing")
"""Words of properties that count: their unit is written `count`."""


def dry_run(  # noqa: PLR0913 (what a message is told apart by)
    topic: str,
    payload: bytes,
    *,
    mapping: str | None = None,
    mapping_name: str | None = None,
    received_at: datetime | None = None,
    timezone: str | None = None,
    content_type: str | None = None,
    pack: str = "cdmx",
    documents: Mapping[str, str] | None = None,
    max_ahead: float = 300.0,
) -> dict[str, object]:
    """What `payload` on `topic` would come to: outcome, decoder, reason, observations; see docs/reference/decode.md.

    `mapping` is the text of a file of the mapping language that goes before all others, and `mapping_name` what its
    faults call it; the answer then has `notes` on what it leaves open. `documents` are adopted ones;
    `timezone` takes the place of the city's for times without a zone. Raises ConfigurationError for a faulty mapping,
    pack or time zone, never for anything in the message.
    """
    at = to_micros(received_at or datetime.now(UTC))
    city = load_pack(pack)
    given = dict(documents or {}) | ({mapping_name or "mapping": mapping} if mapping is not None else {})
    devices, clock = _devices(city, given), _zone(timezone) if timezone else city.timezone
    interpreter = Interpreter(devices, clock)
    assessor = Assessor(load_assessment(city.path))
    message = RawMessage(topic, payload, at, content_type=content_type)
    answer = _interpreted(message, interpreter, assessor, round(max_ahead * 1e6))
    if mapping is not None:
        decoder = answer["decoder"]
        told = notes(mapping, devices, Incoming(message), Context(clock), None if decoder is None else str(decoder))
        answer["notes"] = told
    return answer


def _interpreted(message: RawMessage, interpreter: Interpreter, assessor: Assessor, ahead: int) -> dict[str, object]:
    at = message.received_at
    try:
        meant = interpreter.interpret(message)
        ids = count()
        observations = [row for thing in meant.things for row in _rows(thing, at, ahead, assessor, ids)]
    except DecodeError as error:
        decoder = error.decoder if isinstance(error, NotUnderstood) else None
        thing = error.external_id if isinstance(error, NotUnderstood) else None
        return _answer(MessageOutcome.QUARANTINE, decoder, str(error), [] if thing is None else [Reported(thing)], [])
    return _answer(meant.outcome, meant.decoder, meant.reason, meant.things, observations)


def _answer(
    outcome: MessageOutcome,
    decoder: str | None,
    reason: str,
    things: Sequence[Reported],
    observations: list[dict[str, object]],
) -> dict[str, object]:
    return {
        "outcome": outcome.value,
        "decoder": decoder,
        "reason": reason or None,
        "things": [
            {
                "thing_id": thing.external_id,
                "family": thing.family or family_of(each.observed_property for each in thing.observations),
                "model": list(thing.model),
                "unread": list(thing.unread or ()),
            }
            for thing in things
        ],
        "observations": observations,
    }


def _rows(
    thing: Reported, received_at: int, max_ahead: int, assessor: Assessor, ids: Iterator[int]
) -> Iterator[dict[str, object]]:
    """The observations of a thing in the notation of people. Raises DecodeError where ingest would."""
    check_thing(thing.external_id)
    check_observations(thing.observations, received_at, max_ahead)
    for datastream_id, each in zip(ids, thing.observations, strict=False):
        unit = admitted_unit(thing, each)
        assessor.meet(datastream_id, each.observed_property, unit, None, {})
        at = received_at if each.phenomenon_time is None else each.phenomenon_time
        row: dict[str, object] = {
            "thing_id": thing.external_id,
            "observed_property": each.observed_property,
            "result": each.result,
            "unit": _shown(each.observed_property, unit),
            "phenomenon_time": from_micros(at).isoformat().replace("+00:00", "Z"),
            "quality": _quality(assessor, datastream_id, each.result, at, received_at),
        }
        if each.sent_unit is not None:
            row |= {"sent_result": each.sent_result, "sent_unit": each.sent_unit}
        yield row


def _quality(assessor: Assessor, datastream_id: int, result: float, at: int, received_at: int) -> str:
    """What can be said of one observation without those before it."""
    one = ObservationColumns(
        datastream_id=np.array([datastream_id], np.int32),
        phenomenon_time=np.array([at], np.int64),
        result=np.array([result], np.float64),
        quality=np.array([Quality.NOT_EVALUATED], np.int16),
        received_at=np.array([received_at], np.int64),
        result_time=np.array([NO_TIME], np.int64),
        flags=np.zeros(1, np.int16),
    )
    return Quality(int(assessor.assess(one).quality[0])).name.lower()


def _shown(observed_property: str, unit: str) -> str:
    """A unit as people write it; what is counted, and what is yes or no, says so."""
    if unit != "1":
        return display(unit)
    if observed_property.startswith("parking_occupied"):
        return "bool"
    return "count" if any(word in observed_property for word in _COUNTS) else unit


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(f"{name!r} is not an IANA time zone, like America/Mexico_City") from None


def _devices(city: CityPack, documents: Mapping[str, str]) -> DeviceBook:
    return load_devices(device_paths(city), documents, zones=frozenset(zone.zone_id for zone in city.zones))
