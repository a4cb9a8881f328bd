"""What is wrong with a table beyond its shape: unknown names, units that do not fit, a property written twice."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ingest.decoders import decoders
from ingest.mapping.paths import Path
from ingest.mapping.tables import (
    ChosenProperty,
    Condition,
    Each,
    MappingTable,
    Observation,
    ProfileTable,
    SourceTable,
    Taken,
    TextFrom,
    TimeFrom,
)
from ingest.privacy import is_personal
from pulso.errors import DecodeError
from pulso.model import Family
from pulso.units import CANONICAL_UNITS, canonical_units, convert

Location = tuple[str | int, ...]
Fault = tuple[Location, str]

_OWN_PROPERTY = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Known:
    """What tables may refer to; `zones` None if that is not known here."""

    profiles: Mapping[str, ProfileTable]
    zones: frozenset[str] | None = None


def source_faults(table: SourceTable, known: Known) -> Iterator[Fault]:
    """What is wrong with a source."""
    if table.decoder is not None and table.decoder not in decoders:
        yield ("decoder",), _unknown("decoder", table.decoder, decoders)
    yield from _profile_fault(table.profile, known)
    yield from _zone_fault(table.zone, known)


def profile_faults(table: ProfileTable, _known: Known) -> Iterator[Fault]:
    """What is wrong with a profile. `table` has taken over what it is like."""
    if not table.observation:
        yield (), "a profile needs at least one [[profile.observation]], or 'like' with the name of another profile"
    checker = _Checker(parts=frozenset(), depth=0, drop=frozenset(name.casefold() for name in table.drop))
    if table.time is not None:
        yield from _under("time", checker.taken(table.time))
    for number, condition in enumerate(table.ignore):
        yield from _under("ignore", _under(number, checker.condition(condition)))
    if table.match.when is not None:
        yield from _under("match", _under("when", checker.condition(table.match.when)))
    yield from checker.observations(table.observation, own_things=False)


def mapping_faults(table: MappingTable, known: Known) -> Iterator[Fault]:
    """What is wrong with a mapping."""
    drop = frozenset(name.casefold() for name in table.drop)
    depth = 0 if table.format.inside is None else 1  # the message around the JSON that stands in it
    outside = _Checker(parts=frozenset(table.topic.names), depth=depth, drop=drop)
    if table.when is not None:
        yield from _under("when", outside.condition(table.when))
    for number, condition in enumerate(table.ignore):
        yield from _under("ignore", _under(number, outside.condition(condition)))
    yield from _under("each", outside.steps(table.each))
    inside = outside.within(table.each)
    for key in ("thing", "family", "zone", "time"):
        taken: Taken | None = getattr(table, key)
        if taken is not None:
            yield from _under(key, inside.taken(taken))
    if table.position is not None:
        yield from _under("position", _under("latitude", inside.taken(table.position.latitude)))
        yield from _under("position", _under("longitude", inside.taken(table.position.longitude)))
    for number, model in enumerate(table.model):
        yield from _under("model", _under(number, inside.taken(model)))
    yield from _family_faults(table.family)
    if table.zone is not None:
        for zone in _texts(table.zone):
            yield from _zone_fault(zone, known)
    yield from _profile_fault(table.profile, known)
    yield from _content_faults(table)
    yield from inside.observations(table.observation, own_things=True)


def _content_faults(table: MappingTable) -> Iterator[Fault]:
    if table.profile is not None and table.fields is None:
        yield ("profile",), "a profile reads named fields; 'fields' has to say where they stand (@: the message itself)"
    if not table.observation and table.fields is None and table.undecoded is None:
        yield (), "a mapping needs at least one [[mapping.observation]], or 'fields' for a profile to read"
    without = [number for number, each in enumerate(table.observation) if each.thing is None]
    if table.thing is None and (without or table.fields is not None or table.undecoded is not None):
        yield ("thing",), "is needed: what the device is called, as in '{device}' or { path = 'id' }"


def _family_faults(family: TextFrom | None) -> Iterator[Fault]:
    for text in _texts(family):
        if text not in set(Family):
            yield ("family",), f"{text!r} is not one of {', '.join(Family)}"


def _texts(source: TextFrom | None) -> Iterator[str]:
    """The texts it can come to, as far as they stand in the table."""
    if source is None:
        return
    if source.fixed is not None and source.fixed.constant is not None:
        yield source.fixed.constant
    yield from source.values.values()
    if source.otherwise is not None:
        yield source.otherwise


def _profile_fault(name: str | None, known: Known) -> Iterator[Fault]:
    if name is not None and name not in known.profiles:
        yield ("profile",), _unknown("profile", name, known.profiles)


def _zone_fault(zone: str | None, known: Known) -> Iterator[Fault]:
    if zone is not None and known.zones is not None and zone not in known.zones:
        yield ("zone",), _unknown("zone", zone, known.zones)


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = get_close_matches(name, names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    listed = ", ".join(names[:60]) + (", ..." if len(names) > 60 else "")
    return f"no {kind} {name!r}{hint} Known: {listed or 'none'}"


def _under(key: str | int, faults: Iterable[Fault]) -> Iterator[Fault]:
    return (((key, *location), reason) for location, reason in faults)


@dataclass(frozen=True, slots=True)
class _Checker:
    """Checks what stands in a record: which parts have a name there, and how many records lie around it."""

    parts: frozenset[str]
    depth: int
    drop: frozenset[str]

    def within(self, steps: Sequence[Each]) -> "_Checker":
        """The checker of the records that steps lead to."""
        keys = {step.key for step in steps if step.key is not None}
        return _Checker(self.parts | keys, self.depth + len(steps), self.drop)

    def steps(self, steps: Sequence[Each]) -> Iterator[Fault]:
        """What is wrong with the steps of `each`."""
        for number, step in enumerate(steps):
            yield from self.within(steps[:number]).path(step.path)

    def path(self, path: Path) -> Iterator[Fault]:
        """What is wrong with a path."""
        if path.up > self.depth:
            around = "no record lies around this one" if not self.depth else f"only {self.depth} lie around this one"
            yield (), f"{path.text!r}: {around}; ^ leads out of a list that 'each' goes through"
        for name in path.names:
            if name.casefold() in self.drop:
                yield (), f"{path.text!r}: the field {name!r} is dropped, so it cannot be read"
            elif is_personal(name):
                yield (), f"{path.text!r}: {name!r} names a person or a vehicle, which is never kept"

    def part(self, name: str) -> Iterator[Fault]:
        """What is wrong with the name of a part."""
        if name not in self.parts:
            known = ", ".join(f"{{{part}}}" for part in sorted(self.parts)) or "none"
            yield (), f"no part {{{name}}}; parts named by the topic or by 'each': {known}"
        elif is_personal(name):
            yield (), f"{{{name}}} names a person or a vehicle, which is never kept"

    def taken(self, taken: Taken) -> Iterator[Fault]:
        """What is wrong with where a value is taken from."""
        if taken.path is not None:
            yield from _under("path", self.path(taken.path))
        if taken.part is not None:
            yield from _under("part", self.part(taken.part))
        if isinstance(taken, TimeFrom):
            if taken.steps is not None:
                yield from _under("steps", self.part(taken.steps))
            if taken.step is not None:
                yield from _under("step", self.taken(taken.step))
        if isinstance(taken, TextFrom) and taken.fixed is not None:
            for piece in taken.fixed.pieces:
                if isinstance(piece, Path) and piece.text not in self.parts:
                    yield from self.path(piece)

    def condition(self, condition: Condition) -> Iterator[Fault]:
        """What is wrong with a condition. It may look at what is dropped: that is not kept by it."""
        for operand, _ in condition.tests:
            if isinstance(operand, str):
                yield from self.part(operand)
            elif operand.up > self.depth:
                yield from self.path(operand)
        if condition.expression is not None and condition.expression.up > self.depth:
            yield from self.path(condition.expression)

    def observations(self, tables: Sequence[Observation], *, own_things: bool) -> Iterator[Fault]:
        """What is wrong with observations, each for itself and one beside the other."""
        written: dict[object, int] = {}
        for number, table in enumerate(tables):
            here = self.within(table.each)
            faults = [*_under("each", self.steps(table.each)), *here.observation(table)]
            if not own_things and table.thing is not None:
                faults.append((("thing",), "a profile reads one device; 'thing' is for mappings"))
            key = (table.property.fixed, repr(table.each), repr(table.thing), repr(table.time))
            if table.property.fixed is not None and table.when is None:
                if key in written:
                    first = f"observation {written[key] + 1}"
                    faults.append((("property",), f"{table.property.fixed!r} is written by {first} already"))
                written.setdefault(key, number)
            yield from _under("observation", _under(number, faults))

    def observation(self, table: Observation) -> Iterator[Fault]:
        """What is wrong with one observation."""
        for key in ("property", "value", "unit", "time", "thing", "minus", "factor", "divisor", "exponent"):
            taken: Taken | None = getattr(table, key)
            if taken is not None:
                yield from _under(key, self.taken(taken))
        if table.when is not None:
            yield from _under("when", self.condition(table.when))
        if table.property.fixed is not None:
            has_unit = table.unit is not None or _by_pattern(table)
            yield from _property_faults(table.property.fixed, tuple(_texts(table.unit)), has_unit, "property")
        for text, chosen in table.property.values.items():
            yield from _under("property", _under("values", _under(text, _chosen_faults(chosen, table))))
        if table.property.fixed is None and table.unit is not None:
            names = [chosen.property for chosen in table.property.values.values()]
            yield from _under("unit", _shared_unit_faults(names, table.unit))


def _by_pattern(table: Observation) -> bool:
    """Whether the unit stands beside the number."""
    return table.leading_number or (table.pattern is not None and "unit" in table.pattern.expression.groupindex)


def _chosen_faults(chosen: ChosenProperty, table: Observation) -> Iterator[Fault]:
    if chosen.unit is not None:
        yield from _property_faults(chosen.property, (chosen.unit,), True, "property")
    else:
        has_unit = table.unit is not None or _by_pattern(table)
        yield from _property_faults(chosen.property, (), has_unit, "property")


def _shared_unit_faults(names: Sequence[str], unit: TextFrom) -> Iterator[Fault]:
    """Units that stand beside properties told by the message: each has to fit one of them."""
    for text in _texts(unit):
        reasons = [reason for name in names for _, reason in _unit_faults(name, text)]
        if reasons and len(reasons) == len(names):
            yield (), reasons[0]


def _property_faults(name: str, units: Iterable[str], has_unit: bool, key: str) -> Iterator[Fault]:
    admitted = canonical_units(name)
    if not _OWN_PROPERTY.fullmatch(name):
        yield (key,), f"{name!r}: a property is named with lower-case letters, digits and _, 63 at most"
        return
    if is_personal(name):
        yield (key,), f"{name!r} names a person or a vehicle, which is never kept"
        return
    if not has_unit:
        if admitted is None:
            close = get_close_matches(name, CANONICAL_UNITS, 1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            yield (key,), f"no observed property {name!r}{hint} One of your own has to state its unit"
        elif len(admitted) > 1:
            yield ("unit",), f"is needed: {name} is kept in {' or '.join(admitted)}, as it is sent"
    elif admitted is None and (meant := _near_miss(name, units)):
        yield (
            (key,),
            f"no observed property {name!r}; did you mean {meant!r}? One of your own may not be so like one of ours",
        )
        return
    for text in units:
        yield from _unit_faults(name, text)


def _near_miss(name: str, units: Iterable[str]) -> str | None:
    """The property of the vocabulary that was meant, where only a letter is wrong and the unit would fit."""
    for close in get_close_matches(name, CANONICAL_UNITS, 1, 0.8):
        if all(not list(_unit_faults(close, unit)) for unit in units):
            return close
    return None


def _unit_faults(name: str, unit: str) -> Iterator[Fault]:
    try:
        convert(name, 1.0, unit)
    except DecodeError as error:
        yield ("unit",), error.detail
