"""Homie 5, 4 and 3: one value per topic, `homie/5/<device>/<node>/<property>`, without the `5` before version 5.

Units and data types are told apart from the values: in the JSON of `$description` (5), in topics of their own such as
`$unit` (3 and 4). They are retained, and learned. See https://homieiot.github.io/specification/ and
docs/reference/formats/homie.md.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.readings import Readings, as_suffix, as_table, as_text, fits
from ingest.measured import as_number
from ingest.message import Context, Decoded, Incoming, Reported, ignored, metadata
from ingest.vocabulary import meaning
from pulso.errors import DecodeError, RejectReason

_NUMERIC = frozenset({"integer", "float"})
_LEARNED_ATTRIBUTES = frozenset({"$unit", "$datatype", "$nodes", "$properties"})
_OF_A_MOMENT = frozenset({"$state", "$stats", "$log", "$alert", "$target", "$online", "$signal", "$uptime"})
_VERSION = re.compile(r"[5-9]")
_ONLY_UNITS = MappingProxyType(
    {  # where the convention recommends a single unit, it is meant if none is told
        "voltage": "V",
        "current": "A",
        "frequency": "Hz",
        "energy_import": "kWh",
        "energy_export": "kWh",
        "battery": "%",
    }
)
_UNITS = MappingProxyType({"#": "1", "count": "1"})
_MOST_PROPERTIES = 500  # of a device
_LONGEST_ATTRIBUTE = 4000  # characters; a list of nodes may be long

Description = tuple[str | None, str | None]
"""Unit and data type of a property, None where nothing told them."""


@decoder(
    "homie",
    topics=("homie/#", "+/homie/#"),
    retained=tuple(
        f"{above}homie/{told}"
        for above in ("", "+/")
        for told in ("5/+/$description", "+/$nodes", "+/+/$properties", "+/+/+/$unit", "+/+/+/$datatype")
    ),
)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode the value of one property, which has no time, or learn from an attribute."""
    base, levels, is_described = _split(message.levels)
    if not levels or not all(levels):
        raise NotMine
    if levels[0].startswith("$"):
        return ignored("a broadcast or an attribute of no device")
    if any(level.startswith("$") for level in levels):
        return _attribute(message, base, levels, is_described=is_described)
    if levels[-1] == "set" and len(levels) == 4:
        return ignored("a command to a device")
    if len(levels) != 3:
        raise NotMine
    return _property(message, base, levels, context, is_described=is_described)


def _split(levels: list[str]) -> tuple[str, list[str], bool]:
    """Root topic with the version, device and what is below it, and whether it is a version with `$description`."""
    place = levels.index("homie") + 1 if "homie" in levels else 1
    is_described = len(levels) > place + 1 and _VERSION.fullmatch(levels[place]) is not None
    if is_described:
        place += 1
    return "/".join(levels[:place]), levels[place:], is_described


def _attribute(message: Incoming, base: str, levels: list[str], *, is_described: bool) -> Decoded:
    device = levels[0]
    if is_described and levels[1:] == ["$description"]:
        return _description(message, base, device)
    if levels[-1] in _LEARNED_ATTRIBUTES and not is_described:
        text = as_text(message.text[:_LONGEST_ATTRIBUTE]) or ""
        return metadata(f"{levels[-1]} of a device", Reported(device), learned={f"homie:{message.topic}": text.strip()})
    if message.payload and not _OF_A_MOMENT.intersection(levels):
        return metadata("an attribute that describes a device", Reported(device))
    return ignored("an attribute without a measurement", device)


def _description(message: Incoming, base: str, device: str) -> Decoded:
    """Learn `$description` of version 5 as a list of [node/property, unit, data type] in its order; empty: removed."""
    key = f"homie:{base}/{device}"
    if not message.payload:
        return metadata("a device was removed", learned={key: []})
    listed = list(_described(as_table(message.body, "$description")))
    if len(listed) > _MOST_PROPERTIES:
        raise DecodeError(RejectReason.TOO_MANY_PROPERTIES, f"more than {_MOST_PROPERTIES} properties of one device")
    return metadata("the description of a device", Reported(device), learned={key: listed})


def _described(description: Mapping[str, object]) -> Iterator[list[object]]:
    for node, about in as_table(description.get("nodes") or {}, "nodes").items():
        properties = as_table(as_table(about, "a node").get("properties") or {}, "properties")
        for name, detail in properties.items():
            of_property = as_table(detail, "a property")
            if as_text(node) is None or as_text(name) is None:
                raise DecodeError(RejectReason.WRONG_SHAPE, f"{node!r}/{name!r} is no id of a property"[:200])
            yield [f"{node}/{name}", as_text(of_property.get("unit")), as_text(of_property.get("datatype"))]


def _property(message: Incoming, base: str, levels: list[str], context: Context, *, is_described: bool) -> Decoded:
    device, node, name = levels
    told = _from_description if is_described else _from_attributes
    (unit, datatype), earlier = told(f"{base}/{device}", node, name, context.memory)
    text = message.text.strip()
    if not text:
        return ignored("a property without a value", device)
    number = as_number(text)
    if (datatype is not None and datatype not in _NUMERIC) or (datatype is None and number is None):
        return ignored("a property that is no number", device)
    unit = unit if unit is None else _UNITS.get(unit, unit)
    found = _meaning(node, name, unit)
    if found is None:
        if number is not None and (unit is not None or meaning(name) is not None):
            return Decoded((Reported(device, fields={name: number}),))  # a profile may tell what is missing
        return ignored(f"what {name[:80]} means is told by no one", device)
    observed_property, unit = found
    if node in earlier[1:]:
        observed_property = f"{observed_property}_{as_suffix(node) or f'ch{earlier.index(node)}'}"
    readings = Readings()
    readings.add(observed_property, text, unit)
    if not readings.observations:
        return ignored("no reading", device)
    return Decoded((Reported(device, observations=readings.observations),))


def _meaning(node: str, name: str, unit: str | None) -> tuple[str, str] | None:
    """Observed property and unit by the id of the property, else by that of its node."""
    for each in (name, node):
        found = meaning(each, unit)
        if found is None:
            continue
        only = None if unit is not None else _ONLY_UNITS.get(found.observed_property)
        if found.certain or only is not None:
            stated = unit or only or found.unit
            if stated is not None and fits(found.observed_property, stated):
                return found.observed_property, stated
    return None


def _from_description(device: str, node: str, name: str, memory: Mapping[str, object]) -> tuple[Description, list[str]]:
    """Unit and data type of a property, and the nodes that have one of this name, in order."""
    listed = memory.get(f"homie:{device}")
    rows = [row for row in listed if isinstance(row, list) and len(row) == 3] if isinstance(listed, list) else []
    nodes = [str(path).rpartition("/")[0] for path, _, _ in rows if str(path).rpartition("/")[2] == name]
    about = next((row for row in rows if row[0] == f"{node}/{name}"), (None, None, None))
    return (as_text(about[1]), as_text(about[2])), nodes


def _from_attributes(device: str, node: str, name: str, memory: Mapping[str, object]) -> tuple[Description, list[str]]:
    topic = f"homie:{device}/{node}/{name}"
    nodes = [
        each
        for each in _listed(memory.get(f"homie:{device}/$nodes"))
        if name in _listed(memory.get(f"homie:{device}/{each}/$properties"))
    ]
    return (as_text(memory.get(f"{topic}/$unit")), as_text(memory.get(f"{topic}/$datatype"))), nodes


def _listed(value: object) -> list[str]:
    """Ids separated by commas; `[]` behind one marks an array of version 3."""
    return [each.strip().removesuffix("[]") for each in value.split(",")] if isinstance(value, str) else []
