"""From raw messages to columns: decode, judge each observation, find its datastream. Pure but for its caches."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import structlog

from ingest.decoders import decoders, find_decoder
from ingest.message import LARGEST_RESULT, Decoded, DecodedObservation, Decoder, RawMessage
from pulso.db.observations import NO_TIME, ObservationColumns, RejectedMessage
from pulso.db.things import MOST_DATASTREAMS, DatastreamKey, Registered
from pulso.errors import DecodeError, RejectReason
from pulso.model import DatastreamId, Family, Quality, ThingDescription, ZoneId, from_micros, to_micros
from pulso.units import canonical_units

log = structlog.get_logger()

EARLIEST = to_micros(datetime(2000, 1, 1, tzinfo=UTC))
LARGEST_MESSAGE = 1 << 20
"""Bytes of payload that are decoded. It is what our broker lets through; a larger one would hold up all others."""

_REMEMBERED_TOPIC = 300  # characters; a longer one is looked up each time, so that topics cannot fill the memory
_MOST_DETAIL = 500  # characters of explanation kept with a rejected message
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # what PostgreSQL's text cannot hold


class Stream(NamedTuple):
    """Where a result goes."""

    datastream_id: DatastreamId
    unit: str


@dataclass(slots=True)
class Rows:
    """Observations ready to store, as lists that grow together. Times in microseconds since 1970 UTC.

    `message` is the place of the message in its batch. Lists, because six appends cost a fifth of one object.
    """

    datastream_id: list[int] = field(default_factory=list)
    phenomenon_time: list[int] = field(default_factory=list)
    result: list[float] = field(default_factory=list)
    received_at: list[int] = field(default_factory=list)
    result_time: list[int] = field(default_factory=list)
    message: list[int] = field(default_factory=list)

    def columns(self) -> ObservationColumns:
        """The rows as columns; ingest of this release evaluates no quality."""
        return ObservationColumns(
            np.array(self.datastream_id, np.int32),
            np.array(self.phenomenon_time, np.int64),
            np.array(self.result, np.float64),
            np.full(len(self.result), Quality.NOT_EVALUATED, np.int16),
            np.array(self.received_at, np.int64),
            np.array(self.result_time, np.int64),
        )


@dataclass(slots=True)
class Understood:
    """What a batch of messages comes to: `rows` and `rejected`, and what has to be registered first.

    `waiting` are decoded messages that name a datastream not known yet, by their place in the batch; `unknown` are
    those datastreams, with the unit the first message gives them.
    """

    rows: Rows = field(default_factory=Rows)
    rejected: dict[int, RejectedMessage] = field(default_factory=dict)
    described: dict[int, ThingDescription] = field(default_factory=dict)
    waiting: dict[int, Decoded] = field(default_factory=dict)
    unknown: dict[DatastreamKey, str] = field(default_factory=dict)


class Translator:
    """Decodes messages and remembers where their results go.

    `max_ahead` is the largest lead of a phenomenon time over the time of receipt, in seconds.
    """

    def __init__(self, zones: frozenset[ZoneId], *, max_ahead: float) -> None:
        self._zones = zones
        self._max_ahead = round(max_ahead * 1e6)
        self._decoder_of: dict[str, tuple[str, Decoder]] = {}
        self._streams: dict[str, dict[str, Stream]] = {}  # by thing and property
        self._families: dict[str, Family] = {}  # by thing

    def understand(self, batch: Sequence[RawMessage]) -> Understood:
        """Decode a batch. A message with any fault is rejected whole; the others are not touched by it."""
        understood = Understood()
        for place, message in enumerate(batch):
            try:
                self._judge(place, message, self._decode(message), understood)
            except DecodeError as error:
                understood.rejected[place] = self.reject(message, error)
        return understood

    def meet(self, families: Mapping[str, Family]) -> None:
        """Remember the families of things."""
        self._families.update(families)

    def learn(self, streams: Mapping[DatastreamKey, Registered]) -> None:
        """Remember datastreams that were looked up or made, and those that a thing does not get."""
        for key, registered in streams.items():
            self._families[key.external_id] = registered.family
            known = self._streams.setdefault(key.external_id, {})
            if registered.stream is not None:
                known[key.observed_property] = Stream(*registered.stream)

    def resolve(self, batch: Sequence[RawMessage], understood: Understood) -> None:
        """Turn waiting messages into rows, after `meet` and `learn` were told of all that was registered."""
        waiting, understood.waiting = understood.waiting, {}
        for place, decoded in waiting.items():
            try:
                self._check_family(decoded.external_id, decoded.family)
                self._add(place, batch[place], decoded, understood.rows)
            except DecodeError as error:
                understood.rejected[place] = self.reject(batch[place], error)
        for place, description in list(understood.described.items()):
            try:
                self._check_family(description.external_id, description.family)
            except DecodeError as error:
                del understood.described[place]
                understood.rejected[place] = self.reject(batch[place], error)

    def reject(self, message: RawMessage, error: DecodeError) -> RejectedMessage:
        """The message as it is kept, in text that can be."""
        return RejectedMessage(
            received_at=from_micros(message.received_at),
            topic=_storable(message.topic),
            payload=message.payload,
            reason=error.reason,
            detail=_storable(error.detail[:_MOST_DETAIL]),
            decoder=self._decoder_name(message.topic),
            fingerprint=message.fingerprint(),
            redelivered=message.redelivered,
        )

    def _decode(self, message: RawMessage) -> Decoded:
        if len(message.payload) > LARGEST_MESSAGE:
            raise DecodeError(
                RejectReason.TOO_LARGE, f"{len(message.payload)} bytes; {LARGEST_MESSAGE} at most are decoded"
            )
        name, decode = self._decoder(message.topic)
        try:
            return decode(message.topic, message.payload)
        except DecodeError:
            raise
        except Exception as error:
            # Whatever bytes a decoder stumbles over come again after a restart, so ending the process would stop the
            # city for one message. It is kept with its bytes and can be decoded once the decoder is mended.
            log.exception("decoder_failed", decoder=name, topic=_storable(message.topic))
            raise DecodeError(RejectReason.DECODER_FAILED, f"{type(error).__name__}: {error}") from error

    def _decoder_name(self, topic: str) -> str | None:
        try:
            return self._decoder(topic)[0]
        except DecodeError:
            return None

    def _decoder(self, topic: str) -> tuple[str, Decoder]:
        known = self._decoder_of.get(topic)
        if known is None:
            name = find_decoder(topic)
            known = name, decoders[name]
            if len(self._decoder_of) >= 200_000:  # a flood of made-up topics must not fill the memory
                self._decoder_of.clear()
            if len(topic) <= _REMEMBERED_TOPIC:
                self._decoder_of[topic] = known
        return known

    def _judge(self, place: int, message: RawMessage, decoded: Decoded, understood: Understood) -> None:
        """Take a message into `understood`. Raises DecodeError before anything of it has been taken."""
        if decoded.external_id in self._families:
            self._check_family(decoded.external_id, decoded.family)
        if decoded.description is not None:
            self._check_zone(decoded.description)
        self._check_values(decoded.observations, message.received_at)
        if self._knows(decoded):
            self._add(place, message, decoded, understood.rows)
        else:
            for key, unit in self._unknown_streams(decoded).items():
                understood.unknown.setdefault(key, unit)
            understood.waiting[place] = decoded
        if decoded.description is not None:
            understood.described[place] = decoded.description

    def _knows(self, decoded: Decoded) -> bool:
        known = self._streams.get(decoded.external_id, ())
        return all(observation.observed_property in known for observation in decoded.observations)

    def _check_zone(self, description: ThingDescription) -> None:
        if description.zone_id is not None and description.zone_id not in self._zones:
            raise DecodeError(RejectReason.UNKNOWN_ZONE, f"the city pack has no zone {description.zone_id!r}")

    def _check_family(self, external_id: str, family: Family) -> None:
        known = self._families[external_id]
        if known is not family:
            raise DecodeError(RejectReason.FAMILY_MISMATCH, f"{external_id} is known as {known}, not {family}")

    def _check_values(self, observations: Sequence[DecodedObservation], received_at: int) -> None:
        latest = received_at + self._max_ahead
        for name, result, _, phenomenon_time, result_time in observations:
            if not -LARGEST_RESULT <= result <= LARGEST_RESULT:  # also NaN
                raise DecodeError(RejectReason.IMPOSSIBLE_RESULT, f"{name} of {result:g}")
            if phenomenon_time is not None and not EARLIEST <= phenomenon_time <= latest:
                raise _bad_time("phenomenon time", phenomenon_time, received_at)
            if result_time is not None and not EARLIEST <= result_time <= latest:
                raise _bad_time("result time", result_time, received_at)

    def _unknown_streams(self, decoded: Decoded) -> dict[DatastreamKey, str]:
        return {
            DatastreamKey(decoded.external_id, decoded.family, observation.observed_property): _admitted_unit(
                observation
            )
            for observation in decoded.observations
            if observation.observed_property not in self._streams.get(decoded.external_id, ())
        }

    def _add(self, place: int, message: RawMessage, decoded: Decoded, rows: Rows) -> None:
        if not decoded.observations:
            return
        streams = self._streams[decoded.external_id]
        _check_streams(decoded, streams)
        received_at = message.received_at
        for name, result, _, phenomenon_time, result_time in decoded.observations:
            rows.datastream_id.append(streams[name].datastream_id)
            rows.phenomenon_time.append(received_at if phenomenon_time is None else phenomenon_time)
            rows.result.append(result)
            rows.received_at.append(received_at)
            rows.result_time.append(NO_TIME if result_time is None else result_time)
            rows.message.append(place)


def _bad_time(name: str, at: int, received_at: int) -> DecodeError:
    if at < EARLIEST:
        return DecodeError(RejectReason.IMPOSSIBLE_TIMESTAMP, f"{name} is before 2000")
    return DecodeError(RejectReason.FUTURE_TIMESTAMP, f"{name} is {(at - received_at) / 1e6:.0f} s ahead of receipt")


def _check_streams(decoded: Decoded, streams: Mapping[str, Stream]) -> None:
    for observation in decoded.observations:
        stream, name = streams.get(observation.observed_property), observation.observed_property
        if stream is None:
            raise DecodeError(
                RejectReason.TOO_MANY_PROPERTIES,
                f"{decoded.external_id} has {MOST_DATASTREAMS} datastreams; none for {name}",
            )
        if observation.unit is not None and observation.unit != stream.unit:
            raise DecodeError(
                RejectReason.UNIT_MISMATCH,
                f"{name} of {decoded.external_id} is kept in {stream.unit}, not {observation.unit}",
            )


def _admitted_unit(observation: DecodedObservation) -> str:
    """The unit a new datastream gets. Raises DecodeError for an unknown property or a unit it is not kept in."""
    admitted = canonical_units(observation.observed_property)
    if admitted is None:
        raise DecodeError(RejectReason.UNKNOWN_PROPERTY, f"no observed property {observation.observed_property!r}")
    unit = observation.unit or admitted[0]
    if unit not in admitted:
        raise DecodeError(
            RejectReason.UNIT_MISMATCH,
            f"{observation.observed_property} is kept in {' or '.join(admitted)}, not {unit}",
        )
    return unit


def _storable(text: str) -> str:
    """`text` with what PostgreSQL cannot hold written out."""
    return _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
