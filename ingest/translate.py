"""From raw messages to columns: decode, judge each observation, find its datastream. Pure but for its caches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from ingest.decoders import decoders, find_decoder
from ingest.message import Decoded, DecodedObservation, Decoder, RawMessage
from pulso.db.observations import NO_TIME, ObservationColumns, RejectedMessage
from pulso.db.things import DatastreamKey
from pulso.errors import DecodeError, RejectReason
from pulso.model import DatastreamId, Family, Quality, ThingDescription, ZoneId, from_micros, to_micros
from pulso.units import canonical_units

EARLIEST = to_micros(datetime(2000, 1, 1, tzinfo=UTC))


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

    `waiting` are decoded messages that name a datastream not known yet, by their place in the batch.
    """

    rows: Rows = field(default_factory=Rows)
    rejected: dict[int, RejectedMessage] = field(default_factory=dict)
    described: dict[int, ThingDescription] = field(default_factory=dict)
    waiting: dict[int, Decoded] = field(default_factory=dict)
    unknown: dict[DatastreamKey, tuple[Family, str]] = field(default_factory=dict)


class Translator:
    """Decodes messages and remembers where their results go.

    `max_ahead` is the largest lead of a phenomenon time over the time of receipt, in seconds.
    """

    def __init__(self, zones: frozenset[ZoneId], *, max_ahead: float) -> None:
        self._zones = zones
        self._max_ahead = round(max_ahead * 1e6)
        self._decoder_of: dict[str, tuple[str, Decoder]] = {}
        self._streams: dict[str, dict[str, Stream]] = {}  # by thing and property

    def understand(self, batch: Sequence[RawMessage]) -> Understood:
        """Decode a batch. A message with any fault is rejected whole; the others are not touched by it."""
        understood = Understood()
        for place, message in enumerate(batch):
            name = None
            try:
                name, decode = self._decoder(message.topic)
                decoded = decode(message.topic, message.payload)
                self._judge(place, message, decoded, understood)
            except DecodeError as error:
                understood.rejected[place] = _rejected(message, error, name)
        return understood

    def learn(self, streams: Mapping[DatastreamKey, tuple[DatastreamId, str]]) -> None:
        """Remember datastreams that were looked up or made."""
        for key, (datastream_id, unit) in streams.items():
            self._streams.setdefault(key.external_id, {})[key.observed_property] = Stream(datastream_id, unit)

    def forget(self) -> None:
        """Look every datastream up again; for a database that was replaced under us."""
        self._streams.clear()

    def resolve(self, batch: Sequence[RawMessage], understood: Understood) -> None:
        """Turn waiting messages into rows, after `learn` was told of all `unknown` datastreams."""
        waiting, understood.waiting = understood.waiting, {}
        for place, decoded in waiting.items():
            try:
                self._add(place, batch[place], decoded, understood.rows)
            except DecodeError as error:
                understood.rejected[place] = _rejected(batch[place], error, self._decoder(batch[place].topic)[0])

    def _decoder(self, topic: str) -> tuple[str, Decoder]:
        known = self._decoder_of.get(topic)
        if known is None:
            name = find_decoder(topic)
            known = name, decoders[name]
            if len(self._decoder_of) >= 200_000:  # a flood of made-up topics must not fill the memory
                self._decoder_of.clear()
            self._decoder_of[topic] = known
        return known

    def _judge(self, place: int, message: RawMessage, decoded: Decoded, understood: Understood) -> None:
        if decoded.description is not None:
            self._check_zone(decoded.description)
            understood.described[place] = decoded.description
        for observation in decoded.observations:
            self._check_time(observation, message.received_at)
        if self._knows(decoded):
            self._add(place, message, decoded, understood.rows)
        else:
            understood.unknown.update(self._unknown_streams(decoded))
            understood.waiting[place] = decoded

    def _knows(self, decoded: Decoded) -> bool:
        known = self._streams.get(decoded.external_id, ())
        return all(observation.observed_property in known for observation in decoded.observations)

    def _check_zone(self, description: ThingDescription) -> None:
        if description.zone_id is not None and description.zone_id not in self._zones:
            raise DecodeError(RejectReason.UNKNOWN_ZONE, f"the city pack has no zone {description.zone_id!r}")

    def _check_time(self, observation: DecodedObservation, received_at: int) -> None:
        at = observation.phenomenon_time
        if at is None:
            return
        if at > received_at + self._max_ahead:
            lead = (at - received_at) / 1e6
            raise DecodeError(RejectReason.FUTURE_TIMESTAMP, f"phenomenon time is {lead:.0f} s ahead of receipt")
        if at < EARLIEST:
            raise DecodeError(RejectReason.IMPOSSIBLE_TIMESTAMP, f"phenomenon time {from_micros(at)} is before 2000")

    def _unknown_streams(self, decoded: Decoded) -> dict[DatastreamKey, tuple[Family, str]]:
        return {
            DatastreamKey(decoded.external_id, observation.observed_property): (
                decoded.family,
                _admitted_unit(observation),
            )
            for observation in decoded.observations
            if observation.observed_property not in self._streams.get(decoded.external_id, ())
        }

    def _add(self, place: int, message: RawMessage, decoded: Decoded, rows: Rows) -> None:
        if not decoded.observations:
            return
        streams = self._streams[decoded.external_id]
        _check_units(decoded, streams)
        received_at = message.received_at
        for name, result, _, phenomenon_time, result_time in decoded.observations:
            rows.datastream_id.append(streams[name].datastream_id)
            rows.phenomenon_time.append(received_at if phenomenon_time is None else phenomenon_time)
            rows.result.append(result)
            rows.received_at.append(received_at)
            rows.result_time.append(NO_TIME if result_time is None else result_time)
            rows.message.append(place)


def _check_units(decoded: Decoded, streams: Mapping[str, Stream]) -> None:
    for observation in decoded.observations:
        kept, told = streams[observation.observed_property].unit, observation.unit
        if told is not None and told != kept:
            name = f"{observation.observed_property} of {decoded.external_id}"
            raise DecodeError(RejectReason.UNIT_MISMATCH, f"{name} is kept in {kept}, not {told}")


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


def _rejected(message: RawMessage, error: DecodeError, decoder: str | None) -> RejectedMessage:
    return RejectedMessage(
        received_at=from_micros(message.received_at),
        topic=message.topic.replace("\x00", "\\x00"),  # PostgreSQL's text cannot hold it
        payload=message.payload,
        reason=error.reason,
        detail=error.detail.replace("\x00", "\\x00"),
        decoder=decoder,
        fingerprint=message.fingerprint(),
        redelivered=message.redelivered,
    )
