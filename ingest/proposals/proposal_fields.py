"""The fields of a message that nobody understood: what they are called, and what they may mean; for proposals."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from typing import Any

from ingest.mapping.times import to_time
from ingest.privacy import is_personal, squeezed
from ingest.proposals.spelling import Spelled, is_clock, is_day, spelled, time_format
from ingest.proposals.toml_text import quoted, shown
from ingest.vocabulary import Meaning, meaning
from pulso.errors import DecodeError
from pulso.units import canonical_units, convert, unit_code

MOST_FIELDS = 60  # numbers that are listed
_DEEPEST = 6
LONGEST_KEY = 100


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TIME_WORDS = _words(
    "time timestamp ts datetime date recorded measuredat observedat utc epoch unixtime fecha hora fechahora momento"
    " zeit datum zeitstempel heure horodatage data tijd"
)
_OTHER_TIMES = _words(
    "last next previous install installed installation boot start started calibration calibrated expires expiry"
    " maintenance service firmware manufactured created ultima ultimo proxima"
)
"""Words of times at which nothing was measured."""

_DAY_WORDS = _words("date fecha day dia datum jour data")
_CLOCK_WORDS = _words("time hora hour clock zeit uhrzeit heure tijd")
_VALUE_WORDS = _words("value val v reading result text valor wert valeur waarde medida lectura")
UNIT_WORDS = _words("unit units uom unidad unidades einheit unite eenheid unitname unitofmeasure unitofmeasurement")
_LABEL_WORDS = (
    *("name", "label", "type", "parameter", "param", "variable", "metric", "magnitude", "magnitud", "property"),
    *("quantity", "sensor", "key", "n", "nombre", "parametro"),
)
PART_WORDS = _words("lane channel ch port socket phase line loop input index no nr carril canal spur voie")
"""What tells the parts of one device apart."""

_LATITUDES = frozenset(("lat", "latitude", "latitud"))
_LONGITUDES = frozenset(("lon", "lng", "long", "longitude", "longitud"))
_ID_WORDS = (
    "deviceid",
    "devid",
    "deveui",
    "serialnumber",
    "serial",
    "sn",
    "uniqueid",
    "uuid",
    "sensorid",
    "stationid",
    "meterid",
    "nodeid",
    "id",
    "did",
    "mac",
    "eui",
)
SINGLE = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value of the message, with its path as it is written in a mapping."""

    keys: tuple[str | int, ...]
    value: object

    @property
    def path(self) -> str:
        """Where it stands, as a mapping writes it."""
        return written(self.keys)

    @property
    def number(self) -> Spelled | None:
        """The number it is or spells."""
        return spelled(self.value)

    @property
    def name(self) -> str:
        """Its key, or that of what it stands in if its own only says `value`."""
        names = [key for key in self.keys if isinstance(key, str)]
        if len(names) > 1 and "".join(squeezed(names[-1])) in _VALUE_WORDS:
            return names[-2]
        return names[-1] if names else "value"

    @property
    def longer_name(self) -> str:
        """With the name of what it stands in: `battery pct` for {"battery": {"pct": 87}}."""
        return " ".join([key for key in self.keys if isinstance(key, str)][-2:])

    @property
    def words(self) -> frozenset[str]:
        """The words of its name, and all of them in one."""
        words = squeezed(self.name)
        return frozenset(words) | {"".join(words)}


def leaves_of(value: object, keys: tuple[str | int, ...] = ()) -> Iterator[Leaf]:
    """The values within a message, without personal ones; of a list the first four."""
    if len(keys) > _DEEPEST:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if len(key) <= LONGEST_KEY and key.isprintable() and not is_personal(key):
                yield from leaves_of(item, (*keys, key))
    elif isinstance(value, list):
        for at, item in enumerate(value[:4]):
            yield from leaves_of(item, (*keys, at))
    else:
        yield Leaf(keys, value)


def written(keys: Sequence[str | int]) -> str:
    """A path in the notation of mappings; keys that need quotes have them."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            plain = key if SINGLE.fullmatch(key) and key.isascii() else json.dumps(key)
            text += f".{plain}" if text else plain
    return text or "@"


def json_inside(body: Mapping[str, object]) -> tuple[str, object] | None:
    """The path of an object of JSON that stands as a text in a message without numbers of its own, and that object."""
    leaves = list(islice(leaves_of(body), MOST_FIELDS * 4))
    for leaf in leaves:
        if isinstance(leaf.value, str) and leaf.value.lstrip().startswith("{"):
            try:
                inner = json.loads(leaf.value)
            except (ValueError, RecursionError):
                continue
            if isinstance(inner, dict) and inner:
                return leaf.path, inner
    return None


def records_in(body: Mapping[str, object]) -> tuple[str, Sequence[Mapping[str, object]]] | None:
    """The list that holds the readings of a message, with its path: where the record around it tells none."""
    around = [
        leaf for leaf in islice(leaves_of(body), MOST_FIELDS * 4) if all(isinstance(key, str) for key in leaf.keys)
    ]
    if any(told.certain for told in meanings([leaf for leaf in around if leaf.number], body).values()):
        return None
    best: tuple[int, str, Sequence[Mapping[str, object]]] | None = None
    for keys, records in _lists(body):
        leaves = list(islice(leaves_of(records[0]), MOST_FIELDS))
        count = len(meanings([leaf for leaf in leaves if leaf.number], records[0])) or (labelled(records) is not None)
        if count and (best is None or count > best[0]):
            best = count, written(keys), records
    return None if best is None else best[1:]


def _lists(value: object, keys: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], list[Any]]]:
    """The lists of objects within a message, with their keys."""
    if isinstance(value, dict) and len(keys) < _DEEPEST:
        for key, item in value.items():
            if len(key) <= LONGEST_KEY and key.isprintable() and not is_personal(key):
                yield from _lists(item, (*keys, key))
    elif isinstance(value, list) and keys and value and all(isinstance(item, dict) for item in value[:20]):
        yield keys, value


def labelled(records: Sequence[Mapping[str, object]]) -> tuple[str, str] | None:
    """The keys of name and value in records that each tell one reading, such as {"name": "NO2", "value": 33}."""
    by_name = {"".join(squeezed(key)): key for key in records[0]}
    value = next((key for name, key in by_name.items() if name in _VALUE_WORDS), None)
    label = next((by_name[word] for word in _LABEL_WORDS if word in by_name), None)
    if value is None or label is None or spelled(records[0].get(value)) is None:
        return None
    return label, value


def id_among(leaves: Sequence[Leaf]) -> Leaf | None:
    """The field that seems to name the device."""
    for word in _ID_WORDS:
        for leaf in leaves:
            told = isinstance(leaf.value, str | int) and not isinstance(leaf.value, bool) and str(leaf.value).strip()
            if told and "".join(squeezed(leaf.name)) == word:
                return leaf
    return None


def meanings(numbers: Sequence[Leaf], record: object) -> dict[Leaf, Meaning]:
    """What the vocabulary makes of each number; of two that mean the same, none is certain."""
    known: dict[Leaf, Meaning] = {}
    for leaf in numbers:
        unit = leaf.number.unit if leaf.number is not None and leaf.number.unit else _unit_beside(leaf, record)
        told = meaning(leaf.name, unit) or meaning(leaf.longer_name, unit)
        if told is not None and not is_personal(leaf.name):
            known[leaf] = told
    names = [told.observed_property for told in known.values()]
    return {
        leaf: told._replace(certain=told.certain and names.count(told.observed_property) == 1 and converts(told))
        for leaf, told in known.items()
    }


def _unit_beside(leaf: Leaf, record: object) -> str | None:
    """The text of `unit` beside a `value`, if it is a unit we know."""
    parent = record
    for key in leaf.keys[:-1]:
        parent = parent[key] if isinstance(parent, dict | list) else None  # type: ignore[index]  # by its own path
    if isinstance(parent, Mapping) and leaf.keys and leaf.name != leaf.keys[-1]:
        unit = next((item for key, item in parent.items() if "".join(squeezed(key)) in UNIT_WORDS), None)
        return unit if isinstance(unit, str) and unit_code(unit) is not None else None
    return None


def converts(told: Meaning) -> bool:
    """Whether a mapping may write this property and unit."""
    if told.unit is None:
        admitted = canonical_units(told.observed_property)
        return admitted is not None and len(admitted) == 1
    try:
        convert(told.observed_property, 1.0, told.unit)
    except DecodeError:
        return False
    return True


# --- time and place --------------------------------------------------------------------------------------------------


def time_among(leaves: Sequence[Leaf], near: int) -> tuple[str, Sequence[Leaf]] | None:
    """`time` of the mapping without its paths' surroundings, and the fields it is made of."""
    in_two = _day_and_clock(leaves, near)
    if in_two is not None:
        return in_two
    possible = [leaf for leaf in leaves if leaf.words.isdisjoint(_OTHER_TIMES) and not isinstance(leaf.value, bool)]
    named = [leaf for leaf in possible if not leaf.words.isdisjoint(_TIME_WORDS) or leaf.name.lower() == "epochms"]
    for leaf in (*named, *(leaf for leaf in possible if isinstance(leaf.value, str) and leaf.number is None)):
        if isinstance(leaf.value, str) and (how := time_format(leaf.value, near)) is not None:
            path = quoted(leaf.path)
            if how == "auto":
                return path, [leaf]
            return f"{{ path = {path}, format = {quoted(how)} }}  # it was {shown(leaf.value)}", [leaf]
        if isinstance(leaf.value, int | float) and _is_epoch(leaf.value):
            return quoted(leaf.path), [leaf]
    return None


def _is_epoch(value: float) -> bool:
    try:
        to_time(value, "auto", UTC)
    except DecodeError:
        return False
    return True


def _day_and_clock(leaves: Sequence[Leaf], near: int) -> tuple[str, Sequence[Leaf]] | None:
    """A day and a time of day that stand in two fields."""
    texts = [leaf for leaf in leaves if isinstance(leaf.value, str)]
    day = next((leaf for leaf in texts if leaf.words & _DAY_WORDS and is_day(str(leaf.value))), None)
    clock = next((leaf for leaf in texts if leaf.words & _CLOCK_WORDS and is_clock(str(leaf.value))), None)
    if day is None or clock is None:
        return None
    joined = f"{day.value} {clock.value}"
    how = time_format(joined, near)
    if how is None:
        return None
    path = quoted(f"join(' ', [{day.path}, {clock.path}])")
    told = "" if how == "auto" else f", format = {quoted(how)}"
    return f"{{ path = {path}{told} }}  # it was {shown(joined)}", [day, clock]


def place_among(leaves: Sequence[Leaf]) -> tuple[Leaf, Leaf] | None:
    """The fields of latitude and longitude."""
    latitude = next((leaf for leaf in leaves if leaf.name.lower() in _LATITUDES and _within(leaf, 90)), None)
    longitude = next((leaf for leaf in leaves if leaf.name.lower() in _LONGITUDES and _within(leaf, 180)), None)
    return None if latitude is None or longitude is None else (latitude, longitude)


def _within(leaf: Leaf, most: float) -> bool:
    return leaf.number is not None and abs(leaf.number.number) <= most
