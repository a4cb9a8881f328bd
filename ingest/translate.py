"""From raw messages to columns: interpret, judge each observation, find its datastream. Pure but for its caches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from ingest.interpret import Interpretation, Interpreter, NotUnderstood
from ingest.limits import admitted_unit, check_observations, check_thing, storable
from ingest.memory import Memory
from ingest.message import MessageOutcome, RawMessage, Reported, Request
from ingest.rows import Rows
from ingest.vocabulary import guessed_family
from pulso.db.observations import RejectedMessage
from pulso.db.things import MOST_DATASTREAMS, DatastreamKey, Introduced, NewDatastream, Registered
from pulso.errors import DecodeError, RejectReason
from pulso.model import DatastreamId, Family, FamilyBasis, ThingDescription, ThingState, ZoneId, from_micros
from pulso.units import canonical_units

log = structlog.get_logger()

_MOST_DETAIL = 500  # characters of explanation kept with a rejected message
_MOST_UNREAD = 200  # names of fields kept with a thing
_LONGEST_FIELD = 200


class Stream(NamedTuple):
    """Where a result goes. `is_default`: its unit is the one that is meant where a message states none."""

    datastream_id: DatastreamId
    unit: str
    is_default: bool


@dataclass(slots=True)
class Understood:
    """What a batch of messages comes to, by the place of each message in it, and what has to be registered first.

    `waiting` are messages that name a thing or a datastream not known yet; `unknown` are those datastreams. A message
    is in `rows`, `rejected`, `described` or `ignored`; a place that is in none of them got lost, and the books show it.
    `learned` is what is remembered of them and has to be saved with them.
    """

    rows: Rows = field(default_factory=Rows)
    rejected: dict[int, RejectedMessage] = field(default_factory=dict)
    described: dict[int, list[ThingDescription]] = field(default_factory=dict)
    ignored: set[int] = field(default_factory=set)
    waiting: dict[int, Interpretation] = field(default_factory=dict)
    unknown: dict[DatastreamKey, NewDatastream] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    learned: dict[str, object] = field(default_factory=dict)


class Translator:
    """Turns messages into rows and remembers where results go.

    `memory` is the one the interpreter reads; `max_ahead` is the largest lead of a phenomenon time over the time of
    receipt, in seconds.
    """

    def __init__(self, interpreter: Interpreter, memory: Memory, zones: frozenset[ZoneId], *, max_ahead: float) -> None:
        self.interpreter = interpreter
        self._memory = memory
        self._zones = zones
        self._max_ahead = round(max_ahead * 1e6)
        self._streams: dict[str, dict[str, Stream]] = {}  # by thing and property
        self._things: dict[str, Introduced] = {}
        self._unread: dict[str, frozenset[str]] = {}  # fields by thing
        self._newly_unread: set[str] = set()

    def understand(
        self,
        batch: Sequence[RawMessage],
        understood: Understood | None = None,
        *,
        first: int = 0,
        replayed: bool = False,
    ) -> Understood:
        """Interpret a batch, or a part of it that begins at the place `first`, into `understood`, which is returned.

        A message with any fault is rejected whole; the others are not touched by it. What messages told is learned at
        once, so the later ones of a batch are read with it. One that is `replayed` is old: what it tells does not take
        the place of what is known.
        """
        understood = Understood() if understood is None else understood
        for place, message in enumerate(batch, first):
            meant: Interpretation | None = None
            try:
                meant = self.interpreter.interpret(message)
                self._judge(place, message, meant, understood)
                if meant.learned:
                    understood.learned |= self._memory.learn(meant.learned, anew=replayed)
            except DecodeError as error:
                known = error if meant is None else _with_decoder(error, meant)
                understood.rejected[place] = self.reject(message, known)
                understood.requests += known.requests if isinstance(known, NotUnderstood) else ()
            except Exception as error:  # what a decoder made is of a kind nobody expects: as if it had failed itself
                decoder = None if meant is None else meant.decoder
                log.exception("message_failed", decoder=decoder, topic=message.topic[:300])
                failure = DecodeError(RejectReason.DECODER_FAILED, f"{type(error).__name__}: {error}")
                understood.rejected[place] = self.reject(message, NotUnderstood(failure, decoder))
        return understood

    def forget_things(self) -> None:
        """Look everything up anew: somebody changed the state of things, or what their messages are read with."""
        self._things.clear()
        self._streams.clear()
        self._unread.clear()
        self._newly_unread.clear()

    def take_unread(self) -> dict[str, list[str]]:
        """The fields that nothing gives a meaning, of registered things where that has changed since the last call."""
        taken = {name: sorted(self._unread[name]) for name in self._newly_unread if name in self._things}
        self._newly_unread -= taken.keys()
        return taken

    def put_back_unread(self, taken: Iterable[str]) -> None:
        """What was taken of these things could not be kept: it is told again."""
        self._newly_unread |= self._unread.keys() & set(taken)

    def meet(self, things: Mapping[str, Introduced]) -> None:
        """Remember family and state of things."""
        self._things.update(things)

    def learn(self, streams: Mapping[DatastreamKey, Registered]) -> None:
        """Remember datastreams that were looked up or made, and those that a thing does not get."""
        for key, registered in streams.items():
            self._things[key.external_id] = registered.thing
            known = self._streams.setdefault(key.external_id, {})
            if registered.stream is not None:
                datastream_id, unit = registered.stream
                canonical = canonical_units(key.observed_property)
                is_default = canonical is not None and unit == canonical[0]
                known[key.observed_property] = Stream(datastream_id, unit, is_default)

    def still_unknown(self, wanted: Mapping[DatastreamKey, NewDatastream]) -> dict[DatastreamKey, NewDatastream]:
        """What of `wanted` has to be registered, now that the batch before this one is."""
        return {key: new for key, new in wanted.items() if not self._is_known(key)}

    def _is_known(self, key: DatastreamKey) -> bool:
        thing = self._things.get(key.external_id)
        if thing is None or key.observed_property not in self._streams.get(key.external_id, {}):
            return False
        return key.family is None or (thing.family is not None and thing.family_basis is FamilyBasis.TOLD)

    def resolve(self, batch: Sequence[RawMessage], understood: Understood) -> None:
        """Turn waiting messages into rows, after `meet` and `learn` were told of all that was registered."""
        waiting, understood.waiting = understood.waiting, {}
        for place, meant in waiting.items():
            try:
                for thing in meant.things:
                    self._check_known(thing, self._things.get(thing.external_id))
                found = [self._find(thing) for thing in meant.things]
                _add(place, batch[place], meant.things, found, understood.rows)
            except DecodeError as error:
                understood.rejected[place] = self.reject(batch[place], _with_decoder(error, meant))
                understood.described.pop(place, None)
        if waiting:
            understood.rows.sort()
        for place, descriptions in list(understood.described.items()):
            for description in descriptions:
                try:
                    known = self._things.get(description.external_id)
                    _check_family(description.external_id, description.family, known)
                except DecodeError as error:
                    understood.described.pop(place, None)
                    fault = NotUnderstood(error, None, description.external_id)
                    understood.rejected[place] = self.reject(batch[place], fault)

    def reject(self, message: RawMessage, error: DecodeError) -> RejectedMessage:
        """The message as it is kept, in text that can be."""
        decoder = error.decoder if isinstance(error, NotUnderstood) else None
        external_id = error.external_id if isinstance(error, NotUnderstood) else None
        topic = self.interpreter.redacted_topic(message.topic)
        detail = error.detail if topic == message.topic else error.detail.replace(message.topic, topic)
        return RejectedMessage(
            received_at=from_micros(message.received_at),
            topic=storable(topic),
            payload=self.bytes_to_keep(message),
            reason=error.reason,
            detail=storable(detail[:_MOST_DETAIL]),
            decoder=decoder,
            external_id=None if external_id is None else storable(external_id[:200]),
            content_type=None if message.content_type is None else storable(message.content_type[:200]),
            retained=message.retained,
            source=storable(self.interpreter.source_of(message.topic)[:100]),
            fingerprint=message.fingerprint(),
            redelivered=message.redelivered,
        )

    def bytes_to_keep(self, message: RawMessage) -> bytes:
        """The payload without personal data, as far as names and mappings tell today."""
        try:
            return self.interpreter.redacted(message)
        except Exception:  # a fault of ours: neither may personal data be kept by it nor may it stop us
            log.exception("redaction_failed", topic=message.topic[:300])
            return b""

    def _judge(self, place: int, message: RawMessage, meant: Interpretation, understood: Understood) -> None:
        """Take a message into `understood`. Raises DecodeError before anything of it has been taken."""
        if meant.outcome is MessageOutcome.UNDECODED:
            raise DecodeError(RejectReason.UNDECODED, meant.reason)
        observing: list[Reported] = []
        found: list[list[DatastreamId] | None] = []
        descriptions: list[ThingDescription] = []
        for thing in meant.things:
            if message.retained:
                _keep_own_times(thing)
            self._check(thing, message.received_at)
            if thing.description is not None:
                descriptions.append(thing.description)
            if thing.unread is not None:
                self._note_unread(thing)
            if thing.observations:
                observing.append(thing)
                found.append(None if self._is_news(thing) else self._find(thing))
        if None in found:
            for key, new in self._unknown(observing, found, meant):
                understood.unknown.setdefault(key, new)  # the unit that is seen first is the datastream's
            understood.waiting[place] = meant._replace(things=observing)
        elif observing:
            _add(place, message, observing, found, understood.rows)
        elif not descriptions:
            understood.ignored.add(place)
        if descriptions:
            understood.described[place] = descriptions
        if meant.requests:
            understood.requests += meant.requests

    def _note_unread(self, thing: Reported) -> None:
        known = self._unread.get(thing.external_id)
        new = {storable(name[:_LONGEST_FIELD]) for name in thing.unread or ()} - (known or frozenset())
        if known is None or (new and len(known) < _MOST_UNREAD):
            self._unread[thing.external_id] = (known or frozenset()) | new
            self._newly_unread.add(thing.external_id)

    def _check(self, thing: Reported, received_at: int) -> None:
        known = self._things.get(thing.external_id)
        if known is None:
            check_thing(thing.external_id)
        else:
            self._check_known(thing, known)
        if thing.observations:
            check_observations(thing.observations, received_at, self._max_ahead)
        if thing.zone is not None:
            self._check_zone(thing.zone)
        if thing.description is not None and thing.description.zone_id is not None:
            self._check_zone(thing.description.zone_id)

    def _check_zone(self, zone: str) -> None:
        if zone not in self._zones:
            raise DecodeError(RejectReason.UNKNOWN_ZONE, f"the city pack has no zone {zone!r}")

    def _check_known(self, thing: Reported, known: Introduced | None) -> None:
        _check_family(thing.external_id, thing.family, known)
        if thing.observations and known is not None and known.state is not ThingState.ACTIVE:
            raise DecodeError(
                RejectReason.UNKNOWN_THING,
                f"{thing.external_id} is {known.state}: its messages are kept until it is adopted",
            )

    def _is_news(self, thing: Reported) -> bool:
        """Whether a message is the first to tell the family of a thing, which may have been guessed so far."""
        if thing.family is None:
            return False
        known = self._things.get(thing.external_id)
        return known is None or known.family is None or known.family_basis is not FamilyBasis.TOLD

    def _find(self, thing: Reported) -> list[DatastreamId] | None:
        """The datastream of each observation; None if one is not known. Raises DecodeError for another unit."""
        streams = self._streams.get(thing.external_id)
        if streams is None:
            return None
        found: list[DatastreamId] = []
        for name, _, unit, _, _, _, _ in thing.observations:
            stream = streams.get(name)
            if stream is None:
                return None
            datastream_id, kept_in, is_default = stream
            if unit != kept_in and not (unit is None and is_default):
                raise DecodeError(
                    RejectReason.UNIT_MISMATCH,
                    f"{name} of {thing.external_id} is kept in {kept_in}, not {unit or 'the default unit'}",
                )
            found.append(datastream_id)
        return found

    def _unknown(
        self, things: Sequence[Reported], found: Sequence[list[DatastreamId] | None], meant: Interpretation
    ) -> Iterator[tuple[DatastreamKey, NewDatastream]]:
        """What has to be registered for the things not `found`: at least one datastream of each."""
        for thing, streams in zip(things, found, strict=True):
            if streams is not None:
                continue
            known = self._streams.get(thing.external_id, {})
            guess = guessed_family(each.observed_property for each in thing.observations)
            missing = [each for each in thing.observations if each.observed_property not in known]
            for each in missing or thing.observations:
                yield (
                    DatastreamKey(thing.external_id, thing.family, each.observed_property),
                    NewDatastream(
                        unit=admitted_unit(thing, each),
                        family=thing.family or guess.family,
                        family_basis=guess.basis if thing.family is None else FamilyBasis.TOLD,
                        decoder=meant.decoder,
                        model=" ".join(thing.model)[:200] or None,
                        zone_id=None if thing.zone is None else ZoneId(thing.zone),
                        position=thing.position,
                    ),
                )


def _keep_own_times(thing: Reported) -> None:
    """Leave out the observations that tell no time: how old they are when the broker kept them, nobody knows."""
    thing.observations = [each for each in thing.observations if each.phenomenon_time is not None]


def _with_decoder(error: DecodeError, meant: Interpretation) -> NotUnderstood:
    """The error with the decoder that read the message, and its thing if the message tells of one only."""
    things = meant.things
    return NotUnderstood(error, meant.decoder, things[0].external_id if len(things) == 1 else None)


def _check_family(external_id: str, family: Family | None, known: Introduced | None) -> None:
    """Raise DecodeError where a message tells another family than was told before; one that was guessed gives way."""
    if family is None or known is None or known.family in (None, family):
        return
    if known.family_basis is FamilyBasis.TOLD:
        raise DecodeError(RejectReason.FAMILY_MISMATCH, f"{external_id} is known as {known.family}, not {family}")


def _add(
    place: int,
    message: RawMessage,
    things: Sequence[Reported],
    found: Sequence[list[DatastreamId] | None],
    rows: Rows,
) -> None:
    """Append the rows of a message. Raises DecodeError before any was, for a thing that gets no more datastreams."""
    for thing, datastreams in zip(things, found, strict=True):
        if datastreams is None:
            raise DecodeError(
                RejectReason.TOO_MANY_PROPERTIES, f"{thing.external_id} has {MOST_DATASTREAMS} datastreams, and no more"
            )
    for thing, datastreams in zip(things, found, strict=True):
        rows.add(datastreams or (), thing.observations, message.received_at, place)
