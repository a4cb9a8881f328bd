"""Names that devices use for quantities, and what they mean; the words stand in `vocabulary.toml`.

For devices that no profile knows. A name counts as certain only where it and its unit leave no doubt; the rest serves
to propose a mapping to a person. Statistics, limits, settings and alarms are no measurements, and names of personal
data (plates, SSIDs, phones) never mean anything.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

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
    understood = understand(name, unit)
    return None if understood is None else understood.meaning


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

LONGEST_NAME = 96  # characters


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


class Understood(NamedTuple):
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
def understand(name: str, unit: str | None) -> Understood | None:
    """What a name means, with how sure that is; None if nothing of ours, or in a unit that cannot be."""
    if not name or len(name) > LONGEST_NAME:
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


def _settled(word: _Word, suffix: str, stated: str | None, key: str | None, beside: int) -> Understood | None:
    """The meaning of a word with the units that stand beside the value and in the key."""
    text = stated if stated is not None and stated.strip() else key
    if text is None:
        certain = word.agreed and not word.doubtful and word.unit is not None
        return Understood(Meaning(word.observed_property + suffix, word.unit, certain), beside, stated=False)
    kind = kind_of(text)
    stem = word.observed_property
    if kind is not None:
        stem = _words().by_unit.get(stem, {}).get(kind, stem)
    try:
        convert(stem, 0.0, text)
    except DecodeError:
        return None
    contradicted = stated is not None and key is not None and unit_code(stated) != unit_code(key)
    return Understood(Meaning(stem + suffix, text, not word.doubtful and not contradicted), beside, stated=True)


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
def is_something_else(key: str) -> bool:
    """Whether what stands below `key` is no present state of the air, road, bin or meter: a limit, another medium."""
    return len(key) > LONGEST_NAME or not _words().never.isdisjoint(_tokens(key))


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
