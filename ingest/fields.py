"""The fields of a device that no profile knows: those whose meaning is certain, and the names of the others."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ingest.measured import as_number, measured
from ingest.message import DecodedObservation
from ingest.vocabulary import Understood, is_something_else, understand
from pulso.errors import DecodeError
from pulso.units import kind_of, stem_of

_DEEPEST = 6  # levels of nested fields
_MOST = 1000  # fields looked at
_MOST_LISTED = 100  # records of a list
_MOST_UNREAD = 100
_ROUNDED = 0.005
"""By how much the same value, rounded in two units, may differ from itself."""
_ROUNDED_DEGREES = 0.06  # °C; a tenth of a degree Fahrenheit


def read_fields(fields: Mapping[str, object], *, at: int | None) -> list[DecodedObservation]:
    """The observations among named values, nested or not, whose meaning is certain; `at` is their time.

    A value may describe itself: `{"value": 24.3, "unit": "°C", "displayName": "Air temperature"}`. Numbers may be text,
    with their unit behind them. A field in a unit that is unknown or impossible is left out, and so are the numbers by
    which devices say that there is no reading, such as 327.67 and -999. Of two fields for one
    property the shallower counts, then the one with less beside the plain name; if that does not decide, none.
    """
    best: dict[str, _Candidate] = {}
    for candidate in _candidates(fields, at):
        name = candidate.observation.observed_property
        known = best.get(name)
        if known is None or candidate.rank < known.rank:
            best[name] = candidate
        elif candidate.rank == known.rank and not _agree(candidate.observation, known.observation):
            best[name] = known._replace(torn=True)
    return [candidate.observation for candidate in best.values() if not candidate.torn]


def _agree(one: DecodedObservation, other: DecodedObservation) -> bool:
    """Whether two observations of a property say the same, perhaps rounded in different units: 21.4 °C and 70.5 °F."""
    if one.sent_unit == other.sent_unit:
        return one.result == other.result
    return math.isclose(one.result, other.result, rel_tol=_ROUNDED, abs_tol=_ROUNDED_DEGREES)


def unread_fields(fields: Mapping[str, object]) -> list[str]:
    """Names of the numbers among named values whose meaning is not certain; with dots where they are nested.

    What is known to be no measurement, such as limits and settings, and what is personal is left out.

    >>> unread_fields({"temperature": 21.5, "lvl": 40, "radio": {"q": 7}, "alarm_threshold": 90, "mode": "auto"})
    ['lvl', 'radio.q']
    """
    return list(dict.fromkeys(leaf.path for leaf in _leaves(fields) if _tells_nothing(leaf)))[:_MOST_UNREAD]


class _Candidate(NamedTuple):
    """An observation that a field may be; `rank`: depth, then tokens beside the plain name.

    `torn`: another one equals it in rank and says otherwise.
    """

    observation: DecodedObservation
    rank: tuple[int, int]
    torn: bool = False


_NUMBER_AND_UNIT = re.compile(r"\s*([+-]?[0-9]{1,15}(?:\.[0-9]{0,15})?)\s*([^\s0-9.][^\r\n]{0,23})\s*\Z")
_VALUE_KEYS = frozenset({"value", "Value", "v", "val", "valor"})
_DATA = "data"  # a value only beside its unit
_UNIT_KEYS = ("unit", "Unit", "units", "u", "uom", "unit_of_measurement", "unitOfMeasurement", "unidad")
_UNIT_TABLES = ("units", "unit", "Units", "sensorUnits", "sensor_units", "uom")
_NAME_KEYS = ("displayName", "display_name", "name", "label", "type")
_TIME_KEYS = frozenset({"time", "timestamp", "timeStamp", "ts", "t", "date", "datetime", "at"})


class _Leaf(NamedTuple):
    """A value, its `path` from the top with dots, its names (the key, then its titles), and the unit beside it."""

    path: str
    names: tuple[str, ...]
    value: object
    unit: str | None
    depth: int


def _leaves(fields: Mapping[str, object]) -> Iterator[_Leaf]:
    """The values in nested fields, in breadth first order and with an end; not what stands below a limit or setting."""
    waiting: list[tuple[Mapping[str, object], str, int]] = [(fields, "", 0)]
    looked = 0
    for level, prefix, depth in waiting:
        for key, value in level.items():
            looked += 1
            if looked > _MOST:
                return
            if isinstance(value, list):
                looked += min(len(value), _MOST_LISTED)
                yield from _listed(prefix + key, value, depth + 1)
            elif not isinstance(value, dict):
                yield _Leaf(prefix + key, (key,), value, _unit_beside(level, key), depth)
            elif is_something_else(key):
                continue
            elif not _VALUE_KEYS.isdisjoint(value) or (_DATA in value and not value.keys().isdisjoint(_UNIT_KEYS)):
                yield _self_described(prefix + key, key, value, depth)
            elif depth + 1 < _DEEPEST:
                waiting.append((value, f"{prefix}{key}.", depth + 1))


def _listed(path: str, values: Sequence[object], depth: int) -> Iterator[_Leaf]:
    """The records of a list that say themselves what they are; none if they also say when, for that may be earlier."""
    records = [each for each in values[:_MOST_LISTED] if isinstance(each, dict)]
    if any(not _TIME_KEYS.isdisjoint(record) for record in records):
        return
    for record in records:
        title = next((text for name in _NAME_KEYS if isinstance(text := record.get(name), str)), None)
        if title is not None and not _VALUE_KEYS.isdisjoint(record):
            yield _self_described(
                f"{path}[]", title, record, depth
            )  # a title is text of the message: it may be personal


def _candidates(fields: Mapping[str, object], at: int | None) -> Iterator[_Candidate]:
    """What is certain in nested fields."""
    for leaf in _leaves(fields):
        found = (_candidate(name, leaf, at) for name in leaf.names)
        if (candidate := next(filter(None, found), None)) is not None:
            yield candidate


def _unit_beside(level: Mapping[str, object], key: str) -> str | None:
    """The unit of a field that another one beside it states: `temperature_unit`, `units: {temperature: …}`, `unit`."""
    for name in (f"{key}_unit", f"{key}Unit", f"{key}_units", f"{key}Units", f"unit_{key}"):
        if isinstance(text := level.get(name), str):
            return text
    for name in _UNIT_TABLES:
        table = level.get(name)
        if isinstance(table, dict) and isinstance(text := table.get(key), str):
            return text
    shared = next((text for name in _UNIT_KEYS if isinstance(text := level.get(name), str)), None)
    if shared is None or kind_of(shared) is None:
        return None
    plain = understand(key, None)
    return shared if plain is not None and understand(key, shared) is not None and not plain.stated else None


def _self_described(path: str, key: str, value: Mapping[str, object], depth: int) -> _Leaf:
    number = next((value[name] for name in value if name in _VALUE_KEYS), value.get(_DATA))
    unit = next((text for name in _UNIT_KEYS if isinstance(text := value.get(name), str)), None)
    titles = (text for name in _NAME_KEYS if isinstance(text := value.get(name), str))
    return _Leaf(path, (key, *titles), number, unit, depth)


def _candidate(name: str, leaf: _Leaf, at: int | None) -> _Candidate | None:
    value, unit = _parted(leaf)
    understood = _certain(name, value, unit)
    if understood is None or not _can_be(understood, value):
        return None
    try:
        observation = measured(understood.meaning.observed_property, value, understood.meaning.unit, at=at)
    except DecodeError:
        return None
    if observation is None or not _is_of_mains(observation):
        return None
    return _Candidate(observation, (leaf.depth, understood.beside))


def _certain(name: str, value: object, unit: str | None) -> Understood | None:
    """What a name says of a value in `unit` or, where none is stated, in the one that its size leaves; if certain."""
    understood = understand(name, unit)
    if understood is not None and not understood.stated and not understood.meaning.certain:
        understood = understand(name, _told_by_size(understood.meaning.observed_property, value))
    return understood if understood is not None and understood.meaning.certain else None


def _told_by_size(observed_property: str, value: object) -> str | None:
    """The unit that the size of a number leaves as the only one: a battery has volts, or thousands of millivolts."""
    number = as_number(value)
    if number is None or isinstance(value, bool):
        return None
    if observed_property == "battery_voltage" and 1 <= number <= _MOST_VOLTS:
        return "V"
    is_millivolts = (
        observed_property in ("battery", "battery_voltage") and _LEAST_MILLIVOLTS <= number <= _MOST_MILLIVOLTS
    )
    return "mV" if is_millivolts else None


def _is_of_mains(observation: DecodedObservation) -> bool:
    """Whether a frequency is one of mains, and not of a string that vibrates or of a radio; true of all others."""
    return stem_of(observation.observed_property) != "frequency" or _LEAST_HERTZ <= observation.result <= _MOST_HERTZ


def _parted(leaf: _Leaf) -> tuple[object, str | None]:
    """Value and unit, also where the unit stands behind the number."""
    if leaf.unit is None and isinstance(leaf.value, str) and (both := _NUMBER_AND_UNIT.match(leaf.value[:64])):
        return both[1], both[2]
    return leaf.value, leaf.unit


def _tells_nothing(leaf: _Leaf) -> bool:
    """Whether a leaf is a number that might be a measurement, and no name of it tells which."""
    value, unit = _parted(leaf)
    if isinstance(value, bool) or as_number(value) is None or any(map(is_something_else, leaf.names)):
        return False
    return all(_certain(name, value, unit) is None for name in leaf.names)


_FILLERS = frozenset({32767, 32768, 65535, 327.67, 327.68, 3276.7, 3276.8, 655.35, 6553.5})
"""The ends of 16 bits, as they are scaled: with either sign they stand for a reading that is not there."""
_NEGATIVE_FILLERS = frozenset({-999, -999.9, -9999, -99999})
_NEVER_BELOW_ZERO = frozenset(
    {"pm1", "pm2_5", "pm4", "pm10", "co2", "tvoc", "no", "no2", "nox", "o3", "so2", "co", "noise", "distance"}
)
"""Of these -1 stands for no reading."""
_MOST_VOLTS = 15.0
_LEAST_MILLIVOLTS, _MOST_MILLIVOLTS = 1500.0, 5000.0
_LEAST_HERTZ, _MOST_HERTZ = 40.0, 70.0
_DISCONNECTED = -127.0  # °C; what a DS18B20 reads as where there is none
_MOST_HUMID = 105.0  # %; what sensors in fog overshoot to
_COUNTERS = frozenset({"energy_import", "energy_export", "vehicle_count", "pedestrian_count", "people_count"})
"""These go through all numbers."""


def _is_filler(observed_property: str, number: float) -> bool:
    """Whether a number stands for no reading, as nothing in a city measures exactly this."""
    stem = stem_of(observed_property)
    return stem not in _COUNTERS and (
        abs(number) in _FILLERS
        or number in _NEGATIVE_FILLERS
        or (number == -1 and stem in _NEVER_BELOW_ZERO)
        or (number == _DISCONNECTED and stem == "temperature")
    )


def _can_be(understood: Understood, value: object) -> bool:
    """Whether a value leaves the meaning of its name beyond doubt."""
    number = as_number(value)
    if number is not None and _is_filler(understood.meaning.observed_property, number):
        return False
    match understood.meaning.observed_property:
        case "parking_occupied":
            return number in (0.0, 1.0)
        case "humidity" if not understood.stated:  # air of 1 % is nowhere; 0.54 is a share that FIWARE models send
            return number is not None and 1 < number <= _MOST_HUMID and not isinstance(value, bool)
        case _:
            return number is not None and not isinstance(value, bool)
