"""Pulso's own JSON, version 1: `docs/reference/pulso-json.md` describes it for people who build devices."""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, TypeVar

import msgspec

from ingest.decoders import decoder
from ingest.message import LARGEST_RESULT, Context, Decoded, DecodedObservation, Incoming, Reported
from pulso.errors import DecodeError, RejectReason
from pulso.model import Family, ThingDescription, ZoneId, to_micros
from pulso.units import convert

_THING_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Parsed = TypeVar("Parsed")
Name = Annotated[str, msgspec.Meta(max_length=200, pattern=r"\A[^\x00-\x1f]*\Z")]
PropertyName = Annotated[str, msgspec.Meta(max_length=63)]  # its letters are looked at once, when it is new
PropertyKey = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_]{0,62}\Z")]
Number = Annotated[float, msgspec.Meta(ge=-LARGEST_RESULT, le=LARGEST_RESULT)]


class _Measured(msgspec.Struct, forbid_unknown_fields=True):
    """A result with its unit."""

    result: float
    unit: str | None = None


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    """The results of one moment."""

    observations: Annotated[dict[PropertyName, float | _Measured], msgspec.Meta(min_length=1, max_length=200)]
    phenomenon_time: Moment | None = None
    result_time: Moment | None = None


class _About(msgspec.Struct, forbid_unknown_fields=True):
    """What a thing tells about itself."""

    name: Name = ""
    zone: str | None = None
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None
    expected_interval: Annotated[float, msgspec.Meta(ge=0.1, le=31_536_000)] = 60.0
    properties: Annotated[dict[PropertyKey, Number], msgspec.Meta(max_length=50)] = {}


_records = msgspec.json.Decoder(_Record | list[_Record])
_about = msgspec.json.Decoder(_About)


@lru_cache(maxsize=100_000)
def _thing(topic: str) -> tuple[str, Family]:
    """External id and family of a topic `pulso/v1/<family>/<thing>[/about]`."""
    _, _, family, external_id, *_ = topic.split("/")
    if not _THING_ID.fullmatch(external_id):
        raise DecodeError(
            RejectReason.UNKNOWN_TOPIC,
            f"thing id {external_id!r}: letters, digits and ._:- only, 128 at most",
        )
    try:
        return external_id, Family(family)
    except ValueError:
        known = ", ".join(Family)
        raise DecodeError(RejectReason.UNKNOWN_TOPIC, f"family {family!r} is not one of {known}") from None


@decoder("pulso_json", topics=("pulso/v1/+/+",))
def decode(message: Incoming, _context: Context) -> Decoded:
    """Decode one record or a list of records; a fault in one rejects the message."""
    external_id, family = _thing(message.topic)
    parsed = _parse(_records, message.payload)
    records = parsed if isinstance(parsed, list) else [parsed]
    observations = [observation for record in records for observation in _observations(record)]
    if not observations:
        raise DecodeError(RejectReason.EMPTY, "the list holds no record")
    return Decoded((Reported(external_id, family, observations),))


@decoder("pulso_json_about", topics=("pulso/v1/+/+/about",), retained=("pulso/v1/+/+/about",))
def decode_about(message: Incoming, _context: Context) -> Decoded:
    """Decode the description of a thing."""
    external_id, family = _thing(message.topic)
    about = _parse(_about, message.payload)
    description = ThingDescription(
        external_id=external_id,
        family=family,
        name=about.name,
        zone_id=None if about.zone is None else ZoneId(about.zone),
        latitude=about.latitude,
        longitude=about.longitude,
        expected_interval=timedelta(seconds=about.expected_interval),
        properties=about.properties,
    )
    return Decoded((Reported(external_id, family, description=description),))


def _observations(record: _Record) -> list[DecodedObservation]:
    phenomenon_time = None if record.phenomenon_time is None else to_micros(record.phenomenon_time)
    result_time = None if record.result_time is None else to_micros(record.result_time)
    return [
        DecodedObservation(name, measured, None, phenomenon_time, result_time)
        if isinstance(measured, float)
        else _measured(name, measured, phenomenon_time, result_time)
        for name, measured in record.observations.items()
    ]


def _measured(name: str, value: _Measured, phenomenon_time: int | None, result_time: int | None) -> DecodedObservation:
    if value.unit is None:
        return DecodedObservation(name, value.result, None, phenomenon_time, result_time)
    result, unit, sent_result, sent_unit = convert(name, value.result, value.unit)
    return DecodedObservation(name, result, unit, phenomenon_time, result_time, sent_result, sent_unit)


def _parse(reader: msgspec.json.Decoder[Parsed], payload: bytes) -> Parsed:
    if not payload:
        raise DecodeError(RejectReason.EMPTY, "the payload is empty")
    try:
        return reader.decode(payload)
    except msgspec.ValidationError as error:
        raise DecodeError(RejectReason.WRONG_SHAPE, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(RejectReason.MALFORMED, f"not JSON: {error}") from None
