"""Names that devices use for quantities, and what they mean; the words stand in `vocabulary.toml`.

For devices that no profile knows. A name counts as certain only where it and its unit leave no doubt; the rest serves
to propose a mapping to a person. Statistics, limits, settings and alarms are no measurements, and names of personal
data (plates, SSIDs, phones) never mean anything.
"""

import math
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from ingest.measured import as_number, measured
from ingest.message import DecodedObservation
from pulso.errors import DecodeError
from pulso.model import Family, FamilyBasis
from pulso.units import convert, kind_of, stem_of, unit_code


class Meaning(NamedTuple):
    """What a name means. `unit` is None where nothing tells it; `certain`: name and unit leave no doubt."""

    observed_property: str
    unit: str | None
    certain: bool


def meaning(name: str, unit: str | None = None) -> Meaning | None:
    """What `name` means beside a value in `unit` (as the message spells it; None: not stated); None if nothing of ours.

    >>> meaning("CO2_ppm")
    Meaning(observed_property='co2', unit='ppm', certain=True)
    >>> meaning("batteryVoltage"), meaning("battery", "mV")
    (Meaning(observed_property='battery_voltage', unit='V', certain=False), \
Meaning(observed_property='battery_voltage', unit='mV', certain=True))
    >>> meaning("temperature_max"), meaning("eCO2"), meaning("air_humidity", "furlong")
    (None, None, None)
    """
    understood = _understand(name, unit)
    return None if understood is None else understood.meaning


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
    return [leaf.path for leaf in _leaves(fields) if _tells_nothing(leaf)][:_MOST_UNREAD]


class FamilyGuess(NamedTuple):
    """The family that observed properties speak for, and how much they say."""

    family: Family | None
    basis: FamilyBasis


def guessed_family(properties: Iterable[str]) -> FamilyGuess:
    """The family of a thing that observes `properties`; None where they do not tell, as a battery alone does not.

    What only one family measures decides before what stands in many devices beside something else: a bin with a
    thermometer is a bin, and so is one that only measures a distance or a weight. What has nothing else is taken for a
    station of the air until something better is known.

    >>> guessed_family(["temperature", "fill_level"])
    FamilyGuess(family=<Family.WASTE: 'waste'>, basis=<FamilyBasis.OBSERVED: 1>)
    >>> guessed_family(["temperature", "battery"])
    FamilyGuess(family=<Family.AIR: 'air'>, basis=<FamilyBasis.INCIDENTAL: 0>)
    """
    stems = {stem_of(each) or each for each in properties}
    for family, telling in _FAMILIES:
        if stems & telling:
            return FamilyGuess(family, FamilyBasis.OBSERVED)
    return FamilyGuess(Family.AIR if stems & _INCIDENTAL else None, FamilyBasis.INCIDENTAL)


def family_of(properties: Iterable[str]) -> Family | None:
    """The family of `guessed_family` alone.

    >>> family_of(["temperature", "fill_level"]), family_of(["humidity", "battery"]), family_of(["battery_voltage"])
    (<Family.WASTE: 'waste'>, <Family.AIR: 'air'>, None)
    """
    return guessed_family(properties).family


_FAMILIES = (
    (
        Family.TRAFFIC,
        frozenset({"speed", "vehicle_count", "travel_time", "pedestrian_count", "people_count", "parking_occupied"}),
    ),
    (Family.WASTE, frozenset({"fill_level"})),
    (
        Family.AIR,
        frozenset(
            {"pm1", "pm2_5", "pm4", "pm10", "no", "no2", "nox", "o3", "so2", "co", "co2", "tvoc", "noise", "aqi"}
        ),
    ),
    (
        Family.ENERGY,
        frozenset(
            {
                "power",
                "reactive_power",
                "apparent_power",
                "energy_import",
                "energy_export",
                "energy_interval",
                "voltage",
                "current",
                "frequency",
                "power_factor",
            }
        ),
    ),
    (Family.TRAFFIC, frozenset({"occupancy"})),
    (Family.WASTE, frozenset({"distance", "weight"})),
)
_INCIDENTAL = frozenset({"temperature", "humidity", "pressure"})
"""What an air station measures, and many another device beside something else."""

_LONGEST_NAME = 96  # characters
_DEEPEST = 6  # levels of nested fields
_MOST = 1000  # fields looked at
_MOST_LISTED = 100  # records of a list
_MOST_UNREAD = 100
_ROUNDED = 0.005
"""By how much the same value, rounded in two units, may differ from itself."""
_ROUNDED_DEGREES = 0.06  # °C; a tenth of a degree Fahrenheit


@dataclass(frozen=True, slots=True)
class _Word:
    """What one word means: `agreed`, its unit need not be stated; `doubtful`, it may mean something else."""

    observed_property: str
    unit: str | None
    agreed: bool
    doubtful: bool


@dataclass(frozen=True)
class _Words:
    """The tables of `vocabulary.toml`."""

    known: Mapping[str, _Word]
    by_unit: Mapping[str, Mapping[str, str]]
    electrical: frozenset[str]
    filler: frozenset[str]
    sensor: frozenset[str]
    never: frozenset[str]
    key_units: Mapping[str, str]


@cache
def _words() -> _Words:
    document = tomllib.loads((files("ingest") / "vocabulary.toml").read_text(encoding="utf-8"))
    known: dict[str, _Word] = {}
    for table in document["name"]:
        agreed = set(table.get("agreed_words", table["words"] if table.get("agreed", False) else ()))
        for doubtful, words in ((False, table["words"]), (True, table.get("doubtful", ()))):
            for word in words:
                known[word] = _Word(table["property"], table.get("unit"), word in agreed, doubtful)
    tokens = {name: frozenset(words) for name, words in document["tokens"].items()}
    electrical = frozenset(document["suffixes"]["electrical"])
    return _Words(known, document["by_unit"], electrical, **tokens, key_units=document["key_units"])


class _Understood(NamedTuple):
    """A meaning, how many tokens of the key say more than the plain name, and whether anything told the unit."""

    meaning: Meaning
    beside: int
    stated: bool


# Units whose letters a split at capitals would tear apart, particles with their size, then words, capitals, numbers.
_TOKEN = re.compile(
    r"(?:kVArh|kvarh|kVAr|kVA|VAr|kWh|MWh|mWh|Wh|hPa|kPa|dBA|kW|mV|kV|mA|kHz|Hz)(?![a-z])"
    r"|[uµμ]g[/_.]?m[3³]|mg[/_.]?m[3³]"
    r"|(?i:pm[ _.]?(?:2[._,p]?5|10(?:[._]0)?|1(?:[._]0)?|4(?:[._]0)?)(?![0-9]))"
    r"|(?i:t?voc|e?co2|no2|so2|o3|nox|cf1|cf_1)(?![a-z0-9])"
    r"|(?i:ds18[bx]20|s8|sen5x|lps22|sds011|htu21d?|si7021|sht[0-9]x)"
    r"|(?i:(?:scd|bme|bmp|dht|sht|aht|pms|am|hdc|sps|ms|sen)[0-9]+)"
    r"|[Ll]123(?![0-9])|[LlTt][0-9](?![0-9])"
    r"|[A-ZÁÉÍÓÚÑ]+(?![a-záéíóúñ])|[A-ZÁÉÍÓÚÑ]?[a-záéíóúñ]+|[0-9]+"
)
_PARTICLES = re.compile(r"(?i:pm)[ _.]?(?:([14]|10)(?:[._]0)?|2[._,pP]?5)")
_BRACKETED = re.compile(r"\s*(?:\[([^\[\]]{1,30})\]|\(([^()]{1,30})\)|(%))\s*\Z")
_PHASES = {"a": "l1", "b": "l2", "c": "l3", "1": "l1", "2": "l2", "3": "l3", "r": "l1", "s": "l2", "t": "l3"}


@lru_cache(maxsize=8192)
def _understand(name: str, unit: str | None) -> _Understood | None:
    if not name or len(name) > _LONGEST_NAME:
        return None
    words = _words()
    key_unit: str | None = None
    if bracketed := _BRACKETED.search(name):
        key_unit = unit_code(next(filter(None, bracketed.groups())))
        name = name[: bracketed.start()] if key_unit is not None else name
    tokens = _tokens(name)
    if not tokens:
        return None
    if len(tokens) == 1:  # the unit is all it tells: kw, watts
        key_unit = key_unit or words.key_units.get(tokens[0])
    barred = not words.never.isdisjoint(tokens)  # but for names that are listed with these words
    if (whole := _look_up(tokens)) is not None:
        return _settled(whole, "", unit, key_unit, 0)
    for rest, suffix, unit_text in _splits(tokens, words):
        found = _look_up(rest)
        if found is None and not barred:
            found = _look_up([token for token in rest if token not in words.filler | words.sensor])
        stem = found and found.observed_property
        if found is None or (suffix.startswith("_l") and stem not in words.electrical):
            continue
        if suffix == "_l?":  # current_a: amperes, or phase A
            return _settled(replace(found, doubtful=True), "", unit, key_unit or unit_text, len(tokens))
        return _settled(found, suffix, unit, key_unit or unit_text, len(tokens) - 1)
    return None


def _settled(word: _Word, suffix: str, stated: str | None, key: str | None, beside: int) -> _Understood | None:
    """The meaning of a word with the units that stand beside the value and in the key."""
    text = stated if stated is not None and stated.strip() else key
    if text is None:
        certain = word.agreed and not word.doubtful and word.unit is not None
        return _Understood(Meaning(word.observed_property + suffix, word.unit, certain), beside, stated=False)
    kind = kind_of(text)
    stem = word.observed_property
    if kind is not None:
        stem = _words().by_unit.get(stem, {}).get(kind, stem)
    try:
        convert(stem, 0.0, text)
    except DecodeError:
        return None
    contradicted = stated is not None and key is not None and unit_code(stated) != unit_code(key)
    return _Understood(Meaning(stem + suffix, text, not word.doubtful and not contradicted), beside, stated=True)


def _tokens(name: str) -> list[str]:
    tokens = []
    for part in _TOKEN.findall(name):
        plain = unicodedata.normalize("NFD", part.casefold().replace("µ", "u").replace("μ", "u").replace("³", "3"))
        text = "".join(letter for letter in plain if letter.isascii() and letter.isalnum())
        if size := _PARTICLES.fullmatch(part):
            text = "pm25" if size[1] is None else f"pm{size[1]}"
        tokens.append("megawatthours" if part == "MWh" else text)  # beside mWh, which small letters would make it
    return tokens


@lru_cache(maxsize=8192)
def _something_else(key: str) -> bool:
    """Whether what stands below `key` is no present state of the air, road, bin or meter: a limit, another medium."""
    return len(key) > _LONGEST_NAME or not _words().never.isdisjoint(_tokens(key))


def _look_up(tokens: list[str]) -> _Word | None:
    return _words().known.get("".join(tokens)) if tokens else None


def _splits(tokens: list[str], words: _Words) -> Iterator[tuple[list[str], str, str | None]]:
    """Ways to part tokens into a name, a suffix of phase, tariff or channel, and a unit; the likeliest first."""
    for rest, unit in _without_unit(tokens, words):
        for name, suffix in _without_suffix(rest):
            if unit is None:
                again, behind = next(_without_unit(name, words))
                yield (again, suffix, behind) if behind is not None else (name, suffix, None)
            else:
                yield name, "_l?" if unit == "A" and tokens[-1] == "a" and not suffix else suffix, unit


def _without_unit(tokens: list[str], words: _Words) -> Iterator[tuple[list[str], str | None]]:
    meat = [token for token in tokens if token not in words.sensor]
    for trimmed in (tokens, meat):
        if len(trimmed) > 1 and trimmed[-1] in words.key_units:
            yield trimmed[:-1], words.key_units[trimmed[-1]]
    yield meat or tokens, None


def _without_suffix(tokens: list[str]) -> Iterator[tuple[list[str], str]]:
    match tokens:
        case [*name, ("phase" | "ph" | "fase"), digit] if digit in _PHASES and name:
            yield name, f"_{_PHASES[digit]}"
        case [*name, ("tariff" | "tarifa" | "rate"), digit] if digit.isdigit() and name:
            yield name, f"_t{int(digit)}"
        case [*name, ("channel" | "ch" | "chan" | "canal"), digit] if digit.isdigit() and len(digit) < 4 and name:
            yield name, f"_ch{int(digit)}"
        case [*name, "l123", tail] if name and re.fullmatch(r"t[1-9]", tail):
            yield name, f"_{tail}"
        case [*name, phase, tail] if name and re.fullmatch(r"l[123]", phase) and re.fullmatch(r"t[1-9]", tail):
            yield name, f"_{phase}_{tail}"
        case [*name, "l123"] if name:
            yield name, ""
        case [*name, tail] if name and re.fullmatch(r"l[123]|t[1-9]", tail):
            yield name, f"_{tail}"
        case [*name, tail] if name and tail in ("a", "b", "c"):
            yield name, f"_{_PHASES[tail]}"
        case [head, *name] if name and head in ("a", "b", "c"):
            yield name, f"_{_PHASES[head]}"
        case [head, *name] if name and re.fullmatch(r"l[123]", head):
            yield name, f"_{head}"
    yield tokens, ""


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
            elif _something_else(key):
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
            yield _self_described(f"{path}.{title}", title, record, depth)


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
    plain = _understand(key, None)
    return shared if plain is not None and _understand(key, shared) is not None and not plain.stated else None


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


def _certain(name: str, value: object, unit: str | None) -> _Understood | None:
    """What a name says of a value in `unit` or, where none is stated, in the one that its size leaves; if certain."""
    understood = _understand(name, unit)
    if understood is not None and not understood.stated and not understood.meaning.certain:
        understood = _understand(name, _told_by_size(understood.meaning.observed_property, value))
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
    if isinstance(value, bool) or as_number(value) is None or any(map(_something_else, leaf.names)):
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


def _can_be(understood: _Understood, value: object) -> bool:
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
