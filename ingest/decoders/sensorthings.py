"""OGC SensorThings API over MQTT: Observations, and the Datastreams and Things that say what they are of.

Format: OGC 18-088 (SensorThings API Part 1: Sensing, version 1.1), clauses 8, 14 (MQTT) and 13 (data arrays).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ingest.decoders import NotMine, decoder
from ingest.formats.moments import interval_end
from ingest.formats.positions import geojson_point
from ingest.formats.readings import REFUSED_UNITS
from ingest.measured import as_number, measured
from ingest.message import Context, Decoded, DecodedObservation, Incoming, Reported, ignored, metadata
from ingest.vocabulary import meaning
from pulso.errors import DecodeError, RejectReason
from pulso.units import unit_code

_MOST_OBSERVATIONS = 5_000
_LONGEST_TEXT = 120
_LONGEST_LINK = 400
_ADDRESSED = re.compile(r"(Multi)?Datastreams\((.{1,100})\)")
_KINDS = {"Datastream": "Datastreams", "MultiDatastream": "MultiDatastreams"}
_ENTITY_SETS = frozenset(
    {
        "Datastreams",
        "MultiDatastreams",
        "Things",
        "Sensors",
        "ObservedProperties",
        "FeaturesOfInterest",
        "Locations",
        "HistoricalLocations",
    }
)


class _Series(NamedTuple):
    """What is known of a Datastream: names and units of what it observes (several for a MultiDatastream)."""

    key: str  # Datastream(<id>)
    thing: str | None = None
    name: str | None = None
    observed: tuple[str, ...] = ()
    units: tuple[tuple[str, ...], ...] = ()  # of each: its spellings, best first
    position: tuple[float, float] | None = None


def looks_like(message: Incoming) -> bool:
    """Whether a payload is an Observation that tells its Datastream."""
    payload = message.payload
    if b'"result"' not in payload or b'"phenomenonTime"' not in payload or b"atastream" not in payload:
        return False
    body = message.body
    return isinstance(body, Mapping) and any(isinstance(body.get(kind), Mapping) for kind in _KINDS)


@decoder("sensorthings", topics=("v1.0/#", "v1.1/#"), looks_like=looks_like)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode an Observation by what it, or an earlier message, tells of its Datastream; learn from other entities.

    An Observation of a Datastream of which nothing is known is of the thing `Datastream(<id>)` and has its result as
    the field `result`, for a device profile to name.
    """
    last = message.levels[-1]
    body = message.body
    if last == "CreateObservations":
        return _observations(list(_of_arrays(body)), context)
    if last.startswith("Observations") and (listed := _listed(body)):
        return _observations([(each, key or _key_of_topic(message.levels)) for each, key in listed], context)
    if isinstance(body, Mapping) and ("result" in body or last.startswith("Observations")):
        if "result" not in body:
            return ignored("an Observation without a result")
        return _observations([(body, _key_of_topic(message.levels) or _key_of_links(body))], context)
    if isinstance(body, Mapping) and "@iot.id" in body and any(_set_of(level) for level in message.levels):
        return _entity(body, message.levels)
    if any(_set_of(level) for level in message.levels[:-1]):
        return ignored("one property of an entity, or a list of them")
    raise NotMine


def _listed(body: object) -> list[tuple[Mapping[str, object], tuple[str, str] | None]]:
    """The Observations of a collection, each written out or in data arrays; none if it is no collection."""
    values = body.get("value") if isinstance(body, Mapping) and "result" not in body else body
    tables = [each for each in values if isinstance(each, Mapping)] if isinstance(values, list) else []
    if len(tables) > _MOST_OBSERVATIONS:
        raise DecodeError(RejectReason.TOO_MANY_PROPERTIES, f"more than {_MOST_OBSERVATIONS} observations")
    if any("dataArray" in each for each in tables):
        return list(_of_arrays(tables))
    return [(each, _key_of_links(each)) for each in tables if "result" in each]


def _set_of(level: str) -> bool:
    return level.partition("(")[0] in _ENTITY_SETS


def _observations(told: Sequence[tuple[Mapping[str, object], tuple[str, str] | None]], context: Context) -> Decoded:
    things: list[Reported] = []
    refused: DecodeError | None = None
    for body, key in told:
        try:
            thing = _observation(body, key, context)
        except DecodeError as error:
            if error.reason not in REFUSED_UNITS:
                raise
            refused = error
            continue
        if thing is not None:
            things.append(thing)
    if refused is not None and not things:
        raise refused
    return Decoded(things) if things else ignored("no result is a number")


def _observation(body: Mapping[str, object], key: tuple[str, str] | None, context: Context) -> Reported | None:
    series = _series_of(body, key, context)
    at = interval_end(body.get("phenomenonTime"), context.timezone)
    result_time = interval_end(body.get("resultTime"), context.timezone)
    at = result_time if at is None else at
    result = body.get("result")
    results = list(enumerate(result)) if isinstance(result, list) else [(0, result)]
    if len(results) > _MOST_OBSERVATIONS:
        raise DecodeError(RejectReason.TOO_MANY_PROPERTIES, f"more than {_MOST_OBSERVATIONS} results")
    observations: list[DecodedObservation] = []
    fields: dict[str, object] = {}
    refused: DecodeError | None = None
    for index, value in results:
        if as_number(value) is None:
            continue
        try:
            observation = _understood(series, index, value, at, result_time)
        except DecodeError as error:
            refused = error
            continue
        if observation is None:
            fields["result" if len(results) == 1 else f"result_{index + 1}"] = as_number(value)
        elif observation.observed_property not in {each.observed_property for each in observations}:
            observations.append(observation)
    if not observations and not fields:
        if refused is not None:
            raise refused
        return None
    return Reported(
        series.thing or series.key,
        observations=observations,
        fields=fields or None,
        phenomenon_time=at,
        model=(series.name,) if series.name else (),
        position=series.position,
    )


def _understood(
    series: _Series, index: int, value: object, at: int | None, result_time: int | None
) -> DecodedObservation | None:
    """The observation, if what the Datastream observes is known. Raises DecodeError for a unit that cannot be."""
    spellings = series.units[index] if index < len(series.units) else ()
    unit = next((each for each in spellings if unit_code(each) is not None), spellings[0] if spellings else None)
    names = series.observed[index : index + 1] + ((series.name,) if series.name and len(series.units) < 2 else ())
    for name in names:
        known = meaning(name, unit)
        if known is not None and known.certain and (stated := unit or known.unit) is not None:
            if at is None or result_time is None or result_time < at:
                result_time = None
            return measured(known.observed_property, value, stated, at=at, result_time=result_time)
    return None


def _key_of_topic(levels: list[str]) -> tuple[str, str] | None:
    for level in levels:
        found = _ADDRESSED.fullmatch(level)
        if found is not None:
            return f"{found[1] or ''}Datastream", found[2].strip("'")
    return None


def _series_of(body: Mapping[str, object], key: tuple[str, str] | None, context: Context) -> _Series:
    inline: _Series | None = None
    for kind in _KINDS:
        table = body.get(kind)
        if isinstance(table, Mapping):
            inline = _series(kind, table, key[1] if key is not None else None)
            break
    if inline is None and key is None:
        raise DecodeError(RejectReason.UNKNOWN_THING, "the Observation does not tell its Datastream")
    name = inline.key if inline is not None else f"{key[0]}({key[1]})" if key is not None else ""
    remembered = _remembered(name, context.memory.get(f"sensorthings:{name}"))
    if inline is None:
        return remembered
    return _Series(
        name,
        inline.thing or remembered.thing,
        inline.name or remembered.name,
        inline.observed or remembered.observed,
        inline.units or remembered.units,
        inline.position or remembered.position,
    )


def _series(kind: str, table: Mapping[str, object], known_id: str | None, thing: object = None) -> _Series | None:
    """What a Datastream as it is written tells. None if it has no id."""
    series_id = _id(table.get("@iot.id")) or known_id
    if series_id is None:
        return None
    thing = table.get("Thing", thing)
    observed = table.get("ObservedProperties", table.get("ObservedProperty"))
    units = table.get("unitOfMeasurements", table.get("unitOfMeasurement"))
    return _Series(
        f"{kind}({series_id})",
        _thing(thing),
        _text(table.get("name")),
        tuple(_text(each.get("name")) or "" for each in _tables(observed)),
        tuple(_spellings(each) for each in _tables(units)),
        _place(thing),
    )


def _spellings(unit: Mapping[str, object]) -> tuple[str, ...]:
    """The spellings of a unit, best first: its symbol, its definition (a code or the address of one), its name."""
    definition = (_text(unit.get("definition")) or "").removeprefix("ucum:")
    told = (_text(unit.get("symbol")), definition, _text(unit.get("name")))
    return tuple(dict.fromkeys(each for each in told if each))


def _thing(thing: object) -> str | None:
    if not isinstance(thing, Mapping):
        return None
    thing_id = _id(thing.get("@iot.id"))
    return f"Thing({thing_id})" if thing_id is not None else _text(thing.get("name"))


def _place(thing: object) -> tuple[float, float] | None:
    places = _tables(thing.get("Locations")) if isinstance(thing, Mapping) else ()
    return next((found for each in places if (found := geojson_point(each.get("location"))) is not None), None)


def _id(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value)[:100].strip() or None if isinstance(value, str) or abs(value) < 1 << 64 else None


def _text(value: object) -> str | None:
    return value.strip()[:_LONGEST_TEXT] or None if isinstance(value, str) else None


def _tables(value: object) -> Sequence[Mapping[str, object]]:
    listed = value if isinstance(value, list) else [value]
    return [each for each in listed[:100] if isinstance(each, Mapping)]


def _entity(body: Mapping[str, object], levels: list[str]) -> Decoded:
    """What an entity other than an Observation tells of Datastreams, for their later Observations."""
    found = [series for series in _described(body, levels) if series is not None]
    learned = {f"sensorthings:{series.key}": _memory(series) for series in found}
    places = {series.thing or series.key: series.position for series in found}
    things = [Reported(name, position=place) for name, place in places.items()]
    return metadata("describes what is observed", *things, learned=learned)


def _described(body: Mapping[str, object], levels: list[str]) -> Iterator[_Series | None]:
    for kind, plural in _KINDS.items():
        if "unitOfMeasurement" in body or "unitOfMeasurements" in body:
            if levels[-1].partition("(")[0] == plural:
                yield _series(kind, body, None)
        else:
            for table in _tables(body.get(plural)):
                yield _series(kind, table, None, thing=body)


def _memory(series: _Series) -> dict[str, object]:
    told = {
        "thing": series.thing,
        "name": series.name,
        "observed": list(series.observed),
        "units": [list(each) for each in series.units],
        "position": None if series.position is None else list(series.position),
    }
    return {key: value for key, value in told.items() if value}


def _remembered(key: str, memory: object) -> _Series:
    if not isinstance(memory, Mapping):
        return _Series(key)
    units = memory.get("units")
    observed = memory.get("observed")
    place = memory.get("position")
    return _Series(
        key,
        _text(memory.get("thing")),
        _text(memory.get("name")),
        tuple(str(each) for each in observed) if isinstance(observed, list) else (),
        tuple(tuple(map(str, each)) for each in units if isinstance(each, list)) if isinstance(units, list) else (),
        (place[0], place[1]) if isinstance(place, list) and len(place) == 2 else None,
    )


def _of_arrays(body: object) -> Iterator[tuple[Mapping[str, object], tuple[str, str] | None]]:
    """The Observations of a data array (clause 13.2)."""
    count = 0
    for group in body if isinstance(body, list) else ():
        components = group.get("components") if isinstance(group, Mapping) else None
        rows = group.get("dataArray") if isinstance(group, Mapping) else None
        if not isinstance(components, list) or not isinstance(rows, list):
            raise DecodeError(RejectReason.WRONG_SHAPE, "a data array without components or dataArray")
        count += len(rows)
        if count > _MOST_OBSERVATIONS:
            raise DecodeError(RejectReason.TOO_MANY_PROPERTIES, f"more than {_MOST_OBSERVATIONS} observations")
        about = {kind: group[kind] for kind in _KINDS if kind in group}
        names = [str(each) for each in components]
        for row in rows:
            if isinstance(row, list) and len(row) == len(names):
                yield {**dict(zip(names, row, strict=True)), **about}, _key_of_links(group)


def _key_of_links(body: Mapping[str, object]) -> tuple[str, str] | None:
    """Kind and id of the Datastream that an Observation links to; None where the link goes by the Observation."""
    for kind, plural in _KINDS.items():
        link = body.get(f"{kind}@iot.navigationLink")
        if isinstance(link, str) and link.rpartition("/")[2].startswith(f"{plural}("):
            return _key_of_topic(link[-_LONGEST_LINK:].split("/"))
    return None
