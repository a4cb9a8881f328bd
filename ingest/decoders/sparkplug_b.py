"""Sparkplug B: births tell the names, types and units of metrics; data messages refer to them.

Format: Sparkplug Specification 3.0.0 (Eclipse): chapters 4 (topics), 5 (operational behaviour) and 6 (payloads).
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from ingest.decoders import NotMine, decoder
from ingest.decoders._sparkplug_payload import (
    BOOLEAN,
    Metric,
    Payload,
    is_ambiguous,
    number_of,
    parse,
    rebirth_command,
)
from ingest.decoders._sparkplug_sequence import Sequences
from ingest.formats.readings import REFUSED_UNITS, as_suffix
from ingest.limits import check_thing
from ingest.measured import as_number, measured
from ingest.message import (
    Context,
    Decoded,
    Incoming,
    MessageOutcome,
    Reported,
    Request,
    ignored,
    metadata,
)
from ingest.vocabulary import meaning
from pulso.errors import DecodeError, RejectReason
from pulso.units import stem_of

_NAMESPACE = "spBv1.0"
_LATEST_MILLISECONDS = 253_402_300_800_000  # the year 10000
_CONTROL = ("Node Control", "Device Control")
_MOST_REMEMBERED = 200  # metrics of one source whose meanings are kept; those of a larger one are looked up each time
_PLAIN_UNITS = frozenset({"voltage", "frequency"})
"""Where no engineering unit is told, edge nodes of plants mean volts and hertz."""

_KINDS = frozenset({"hardwaremake", "hardwaremodel", "make", "model", "manufacturer"})

sequences = Sequences()
"""What this process saw of each edge node; it changes no observation, only when a rebirth is asked for."""


class NeedsBirth(DecodeError):
    """A data message of `external_id` refers to a birth we have not seen; `requests` ask the node for it."""

    def __init__(self, external_id: str, detail: str, requests: Sequence[Request]) -> None:
        super().__init__(RejectReason.NO_BIRTH, detail)
        self.external_id = external_id
        self.requests = requests


class _Source(NamedTuple):
    """Who sent a message: group, node and, unless the node itself did, device."""

    group: str
    node: str
    device: str | None

    @property
    def node_id(self) -> str:
        return f"{self.group}/{self.node}"

    @property
    def external_id(self) -> str:
        return self.node_id if self.device is None else f"{self.node_id}/{self.device}"

    @property
    def key(self) -> str:
        return f"sparkplug_b:{self.external_id}"


class _Known(NamedTuple):
    """What a birth told: names by alias; data type and unit by name; kinds of device."""

    born: bool = False
    aliases: Mapping[str, object] = {}
    metrics: Mapping[str, object] = {}
    model: tuple[str, ...] = ()

    def type_of(self, name: str) -> tuple[int | None, str | None]:
        told = self.metrics.get(name)
        if not isinstance(told, list) or len(told) != 2:
            return None, None
        return told[0] if isinstance(told[0], int) else None, told[1] if isinstance(told[1], str) else None


class _Reading(NamedTuple):
    """A metric that has a number. `at` in microseconds since 1970 UTC."""

    name: str
    number: float
    unit: str | None
    at: int | None
    is_boolean: bool


@decoder("sparkplug_b", topics=(f"{_NAMESPACE}/#", "STATE/+"))
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode births, deaths and data of edge nodes and devices.

    Raises NeedsBirth for data whose names or types only a birth tells; commands and the state of hosts are ignored.
    """
    levels = message.levels
    if levels[0] == "STATE" or (len(levels) > 1 and levels[1] == "STATE"):
        if levels[0] == "STATE" and message.payload.strip() not in (b"ONLINE", b"OFFLINE"):
            raise NotMine
        return ignored("the state of a host application")
    if len(levels) not in (4, 5) or not all(levels[1:]):
        raise DecodeError(RejectReason.UNKNOWN_TOPIC, "not spBv1.0/<group>/<type>/<node>[/<device>]")
    source = _Source(levels[1], levels[3], levels[4] if len(levels) == 5 else None)
    check_thing(source.external_id)  # before it is remembered by its name
    kind = levels[2]
    if kind not in _DECODERS or kind.startswith("D") is not (source.device is not None):
        raise DecodeError(RejectReason.UNKNOWN_TOPIC, f"message type {kind[:20]!r}")
    return _DECODERS[kind](message, source, context)


def _command(_message: Incoming, source: _Source, _context: Context) -> Decoded:
    return ignored("a command", source.external_id)


def _death(message: Incoming, source: _Source, _context: Context) -> Decoded:
    parse(message.payload)
    return ignored("offline: nothing is told until its next birth", source.external_id)


def _birth(message: Incoming, source: _Source, _context: Context) -> Decoded:
    payload = parse(message.payload)
    if source.device is None:
        sequences.begin(source.node_id, payload.seq)
    else:
        sequences.follows(source.node_id, payload.seq)
    learned = _learned(payload)
    known = _known(learned)
    try:
        readings = list(_readings(payload, (known,)))
    except _NoBirth as missing:
        raise DecodeError(RejectReason.WRONG_SHAPE, f"the birth is not complete: {missing}") from None
    things = _things(readings, known, source.external_id)
    understood = [thing for thing in things if thing.observations]
    if not understood:  # what only a profile may name is told again by data; a birth must not be turned away for it
        return metadata("born", Reported(source.external_id, model=known.model), learned={source.key: learned})
    return Decoded(understood, learned={source.key: learned})


def _data(message: Incoming, source: _Source, context: Context) -> Decoded:
    payload = parse(message.payload)
    node = _known(context.memory.get(f"sparkplug_b:{source.node_id}"))
    own = node if source.device is None else _known(context.memory.get(source.key))
    follows = sequences.follows(source.node_id, payload.seq)
    try:
        readings = list(_readings(payload, (own, node)))
    except _NoBirth as missing:
        told = f"{source.external_id}: {missing}"
        raise NeedsBirth(source.external_id, told, _rebirth(message, source)) from None
    requests = () if follows and own.born else _rebirth(message, source)
    things = _things(readings, own, source.external_id)
    if not things:
        seen = (Reported(source.external_id),)
        return Decoded(seen, MessageOutcome.IGNORE, "no metric has a number", requests=requests)
    return Decoded(things, reason="states of no meaning to us", requests=requests)


_DECODERS = {
    "NBIRTH": _birth,
    "DBIRTH": _birth,
    "NDATA": _data,
    "DDATA": _data,
    "NDEATH": _death,
    "DDEATH": _death,
    "NCMD": _command,
    "DCMD": _command,
}


class _NoBirth(Exception):
    """A metric refers to a birth that is not known."""


def _rebirth(message: Incoming, source: _Source) -> tuple[Request, ...]:
    if not sequences.may_ask(source.node_id, message.received_at):
        return ()
    topic = f"{_NAMESPACE}/{source.group}/NCMD/{source.node}"
    return (Request(topic, rebirth_command(message.received_at // 1000)),)


def _learned(payload: Payload) -> dict[str, object]:
    """What of a birth later messages need, as JSON."""
    named = list(_named(payload.metrics))
    return {
        "aliases": {str(metric.alias): name for name, metric in named if metric.alias is not None},
        "metrics": {name: [metric.datatype, metric.unit] for name, metric in named},
        "model": [
            metric.value
            for name, metric in named
            if isinstance(metric.value, str) and as_suffix(name.rpartition("/")[2]) in _KINDS
        ][:5],
    }


def _named(metrics: Sequence[Metric], above: str = "") -> Iterator[tuple[str, Metric]]:
    """Metrics of a birth by name, those of templates by the path to them (`Meter 1/Voltage`)."""
    for metric in metrics:
        if metric.name is not None:
            yield above + metric.name, metric
            yield from _named(metric.members, f"{above}{metric.name}/")


def _known(memory: object) -> _Known:
    if not isinstance(memory, Mapping):
        return _Known()
    aliases, metrics, model = memory.get("aliases"), memory.get("metrics"), memory.get("model")
    return _Known(
        True,
        aliases if isinstance(aliases, Mapping) else {},
        metrics if isinstance(metrics, Mapping) else {},
        tuple(map(str, model)) if isinstance(model, list) else (),
    )


def _readings(payload: Payload, births: Sequence[_Known]) -> Iterator[_Reading]:
    """The metrics that have a number. Raises _NoBirth where a name or a type is missing."""
    for name, metric in _flattened(payload.metrics, births):
        if metric.is_null or metric.value is None or _is_control(name):
            continue
        told = next((found for each in births if (found := each.type_of(name)) != (None, None)), (None, None))
        datatype = told[0] if metric.datatype is None else metric.datatype
        unit = metric.unit or told[1]
        if is_ambiguous(metric.value, datatype):
            raise _NoBirth(f"the data type of {name!r} is not known")
        number = number_of(metric.value, datatype)
        if number is None and unit is not None:
            number = as_number(metric.value)  # text with an engineering unit is a number
        if number is not None and math.isfinite(number):
            at = _micros(metric.timestamp) or _micros(payload.timestamp)
            yield _Reading(name, number, unit, at, datatype == BOOLEAN or isinstance(metric.value, bool))


def _flattened(
    metrics: Sequence[Metric], births: Sequence[_Known], above: str = "", at: int | None = None
) -> Iterator[tuple[str, Metric]]:
    """Metrics with their names, those of templates with the path to them and the time of the instance."""
    for metric in metrics:
        name = _name(metric, births, above)
        timed = metric if metric.timestamp is not None else metric._replace(timestamp=at)
        yield name, timed
        if metric.members and not metric.is_null:
            yield from _flattened(metric.members, births, f"{name}/", timed.timestamp)


def _name(metric: Metric, births: Sequence[_Known], above: str) -> str:
    if metric.name is not None:
        return above + metric.name
    if metric.alias is None:
        raise DecodeError(RejectReason.WRONG_SHAPE, "a metric with neither name nor alias")
    for birth in births:
        name = birth.aliases.get(str(metric.alias))
        if isinstance(name, str):
            return name
    raise _NoBirth(f"alias {metric.alias} is not known")


def _is_control(name: str) -> bool:
    return name == "bdSeq" or name.partition("/")[0] in _CONTROL


def _micros(milliseconds: int | None) -> int | None:
    if not milliseconds:
        return None
    if milliseconds >= _LATEST_MILLISECONDS:
        raise DecodeError(RejectReason.IMPOSSIBLE_TIMESTAMP, f"{milliseconds} ms since 1970")
    return milliseconds * 1000


def _things(readings: Sequence[_Reading], known: _Known, external_id: str) -> list[Reported]:
    """Observations of the metrics whose names leave no doubt, the others as fields: one thing for each moment.

    A value in a unit that is unknown or impossible is left out; if there is nothing else, its DecodeError is raised.
    """
    units = {name: known.type_of(name)[1] for name in known.metrics}
    units.update({each.name: each.unit for each in readings})
    metrics = tuple(sorted(units.items(), key=lambda item: item[0]))
    properties = _properties(metrics) if len(metrics) <= _MOST_REMEMBERED else _properties.__wrapped__(metrics)
    refused: DecodeError | None = None
    by_time: dict[int | None, Reported] = {}
    fields: dict[int | None, dict[str, object]] = {}
    for each in readings:
        thing = by_time.setdefault(each.at, Reported(external_id, phenomenon_time=each.at, model=known.model))
        found = properties.get(each.name)
        if found is None:
            told = each.number if each.unit is None else {"value": each.number, "unit": each.unit}
            fields.setdefault(each.at, {})[each.name] = told
        elif not each.is_boolean or found[0].startswith("parking_occupied"):
            try:
                observation = measured(found[0], each.number, each.unit or found[1], at=each.at)
            except DecodeError as error:
                if error.reason not in REFUSED_UNITS:
                    raise
                refused = error
                continue
            if observation is not None:
                thing.observations.append(observation)
    understood = [thing for thing in by_time.values() if thing.observations]
    if refused is not None and not understood:
        raise refused
    things = understood or [thing for time, thing in by_time.items() if time in fields]
    states = {each.name for each in readings if each.is_boolean}
    for thing in things:
        thing.fields = fields.get(thing.phenomenon_time)
        thing.only_states = thing.fields is not None and states.issuperset(thing.fields)
    return things


@lru_cache(maxsize=512)
def _properties(metrics: tuple[tuple[str, str | None], ...]) -> Mapping[str, tuple[str, str | None]]:
    """Property and unit by metric, for all metrics of one source.

    Metrics of one meaning (`Zone 1/Temperature`, `Zone 2/Temperature`) are told apart by the level above
    (`temperature_zone1`); those that even so are the same get none.
    """
    by_property: dict[str, list[tuple[str, str | None]]] = {}
    for name, unit in metrics:
        if not _is_control(name) and (known := _meaning(name, unit)) is not None:
            by_property.setdefault(known[0], []).append((name, known[1]))
    properties: dict[str, tuple[str, str | None]] = {}
    for observed_property, named in by_property.items():
        if len(named) == 1:
            properties[named[0][0]] = (observed_property, named[0][1])
            continue
        suffixes = [as_suffix(name.rpartition("/")[0].rpartition("/")[2]) for name, _ in named]
        times = Counter(suffixes)
        for (name, unit), suffix in zip(named, suffixes, strict=True):
            if times[suffix] == 1:
                properties[name] = (f"{observed_property}_{suffix}" if suffix else observed_property, unit)
    return properties


def _meaning(name: str, unit: str | None) -> tuple[str, str | None] | None:
    """The certain meaning of a metric's name: by its last two levels (`Battery/Voltage`), else by the last."""
    parts = name.split("/")
    for candidate in dict.fromkeys((" ".join(parts[-2:]), parts[-1])):
        known = meaning(candidate, unit)
        if known is not None and (known.certain or (unit is None and stem_of(known.observed_property) in _PLAIN_UNITS)):
            return known.observed_property, known.unit
    return None
