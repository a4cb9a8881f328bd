"""Mappings: what the messages of a topic mean."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from ingest.decoders import NotMine
from ingest.mapping.evaluate import Tally, holds, observe, place_of, text_of, time_of
from ingest.mapping.paths import MISSING
from ingest.mapping.payloads import read_inside, read_payload
from ingest.mapping.profiles import Profile
from ingest.mapping.scope import Scope
from ingest.mapping.tables import MappingTable, Observation, TextFrom
from ingest.message import Context, Decoded, DecodedObservation, Incoming, Reported, ignored, undecoded
from ingest.privacy import is_personal
from pulso.errors import DecodeError, RejectReason
from pulso.model import Family

_MOST_THINGS = 5_000


@dataclass(frozen=True, slots=True)
class DeviceMapping:
    """A compiled mapping. `title` is its name with the hash of what it says, as kept with a rejected message."""

    title: str
    table: MappingTable
    profile: Profile | None
    drop: frozenset[str]

    @staticmethod
    def of(table: MappingTable, document: Mapping[str, object], profile: Profile | None) -> "DeviceMapping":
        """Compile a table; `document` is the same as it was written."""
        written = json.dumps(document, sort_keys=True, default=str, ensure_ascii=False)
        version = sha256(written.encode()).hexdigest()[:8]
        drop = frozenset(name.casefold() for name in table.drop)
        return DeviceMapping(f"mapping:{table.name}@{version}", table, profile, drop)

    def decode(self, message: Incoming, context: Context) -> Decoded:
        """What the message means. Raises NotMine (another topic, a condition not met) and DecodeError."""
        parts = self.table.topic.match(message.levels)
        if parts is None:
            raise NotMine
        return self.decode_parts(message, context, parts)

    def decode_parts(self, message: Incoming, context: Context, parts: Mapping[str, str]) -> Decoded:
        """The same of a message whose topic has been taken apart."""
        scope = Scope(read_payload(self.table.format, message), parts)
        if self.table.format.inside is not None:
            scope = Scope(read_inside(self.table.format, scope.value), parts, scope)
        if self.table.when is not None and not holds(self.table.when, scope):
            raise NotMine
        if any(holds(condition, scope) for condition in self.table.ignore):
            return ignored(f"{self.table.name}: a condition of 'ignore' is met", _known_thing(self.table, scope))
        return _Reading(self, context).read(scope)


@dataclass(frozen=True, slots=True)
class BoundMapping:
    """A mapping with the parts of one topic, which many messages have in common."""

    mapping: DeviceMapping
    parts: Mapping[str, str]

    @property
    def title(self) -> str:
        """Name and version of the mapping."""
        return self.mapping.title

    def decode(self, message: Incoming, context: Context) -> Decoded:
        """What the message means. Raises NotMine and DecodeError."""
        return self.mapping.decode_parts(message, context, self.parts)


def unread(bound: BoundMapping, message: Incoming, context: Context) -> tuple[list[str], bool]:
    """What a mapping looks for and does not find: paths of values; and whether no observation has the time it names.

    Raises DecodeError where `decode` does.
    """
    mapping = bound.mapping
    reading = _Reading(mapping, context)
    decoded = reading.read(Scope(read_payload(mapping.table.format, message), bound.parts))
    times = [each.phenomenon_time for thing in decoded.things for each in thing.observations]
    return reading.tally.missing, mapping.table.time is not None and bool(times) and not any(times)


def _known_thing(table: MappingTable, scope: Scope) -> str | None:
    try:
        return text_of(table.thing, scope) if table.thing is not None else None
    except DecodeError:
        return None


@dataclass(slots=True)
class _Reading:
    """One message being read: the things found so far."""

    mapping: DeviceMapping
    context: Context
    things: dict[str, Reported] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    def read(self, root: Scope) -> Decoded:
        table = self.mapping.table
        records = 0
        for record in root.records(table.each, self.mapping.drop):
            records += 1
            self._record(record)
        things = tuple(self.things.values())
        if any(thing.observations or thing.fields is not None for thing in things):
            return Decoded(things)
        known = next(iter(self.things), None) or _known_thing(table, root)
        if table.undecoded is not None and known is not None and _is_frame(root.find(table.undecoded)):
            return undecoded(f"{table.name}: bytes that only a codec of the device can read", known)
        if self.tally.understood or (records == 0 and root.find(table.each[0].path) is not MISSING):
            return ignored(f"{table.name}: the message holds no reading", known)
        looked_for = ", ".join(self.tally.missing) or ", ".join(step.path.text for step in table.each)
        there = _keys(root.value)
        detail = f"nothing of what {table.name} looks for: {looked_for}{f'; the message has {there}' if there else ''}"
        raise DecodeError(RejectReason.UNMAPPED, detail[:500])

    def _record(self, record: Scope) -> None:
        table = self.mapping.table
        at = None if table.time is None else time_of(table.time, record, self.context.timezone)
        if table.fields is not None:
            self._named_fields(record, at)
        own: Reported | None = None
        for observation in table.observation:
            inner = record.records(observation.each, self.mapping.drop) if observation.each else (record,)
            for scope in inner:
                observed = self._observe(observation, scope, at)
                if observed is None:
                    continue
                if observation.thing is not None:
                    self._thing(observation.thing, scope).observations.append(observed)
                    continue
                own = own or self._thing(table.thing, record)
                own.observations.append(observed)

    def _observe(self, table: Observation, scope: Scope, at: int | None) -> DecodedObservation | None:
        if table.time is not None:
            at = time_of(table.time, scope, self.context.timezone) or at
        return observe(table, scope, at, self.tally)

    def _named_fields(self, record: Scope, at: int | None) -> None:
        """Hand the decoded object of a foreign envelope to a profile, here or, if none is named, to the interpreter."""
        table, profile = self.mapping.table, self.mapping.profile
        found = record.find(table.fields) if table.fields is not None else MISSING
        if not isinstance(found, dict):
            self.tally.miss(table.fields.text if table.fields is not None else "")
            return
        thing = self._thing(table.thing, record)
        fields = {key: value for key, value in found.items() if key.casefold() not in self.mapping.drop}
        if profile is None:
            thing.fields = fields
            thing.phenomenon_time = at
            return
        thing.fields, thing.phenomenon_time = fields, at
        thing.observations += profile.read(thing, self.context)
        thing.fields = None
        thing.family = thing.family or profile.family
        self.tally.understood = True

    def _thing(self, source: TextFrom | None, scope: Scope) -> Reported:
        external_id = text_of(source, scope) if source is not None else None
        if not external_id:
            around = "" if scope.parent is None else "; what stands outside the list of 'each' is ^.name or $.name"
            detail = f"the message does not tell the device: {_described(source)}{around}"
            raise DecodeError(RejectReason.WRONG_SHAPE, detail)
        thing = self.things.get(external_id)
        if thing is None:
            if len(self.things) == _MOST_THINGS:
                raise DecodeError(RejectReason.TOO_LARGE, f"more than {_MOST_THINGS} devices in one message")
            thing = self.things[external_id] = self._reported(external_id, scope)
        return thing

    def _reported(self, external_id: str, scope: Scope) -> Reported:
        table = self.mapping.table
        models = (text_of(source, scope) for source in table.model)
        return Reported(
            external_id,
            _family(table.family, scope),
            model=tuple(model[:200] for model in models if model),
            position=None if table.position is None else place_of(table.position, scope),
            zone=None if table.zone is None else text_of(table.zone, scope),
            admits=True,
        )


def _keys(value: object) -> str:
    """The first keys of an object, or of the first one of a list, that may be named."""
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, dict):
        return ""
    return ", ".join([key[:40] for key in first if key.isprintable() and not is_personal(key)][:8])


def _is_frame(found: object) -> bool:
    """Whether there are bytes, as text or as a list of them."""
    return isinstance(found, str | list) and len(found) > 0


def _family(source: TextFrom | None, scope: Scope) -> Family | None:
    text = None if source is None else text_of(source, scope)
    if text is None:
        return None
    try:
        return Family(text)
    except ValueError:
        raise DecodeError(RejectReason.FAMILY_MISMATCH, f"{text[:80]!r} is not one of {', '.join(Family)}") from None


def _described(source: TextFrom | None) -> str:
    if source is None:
        return "no 'thing' is given"
    if source.fixed is not None:
        return source.fixed.text
    return source.path.text if source.path is not None else f"{{{source.part}}}"
