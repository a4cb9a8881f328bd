"""Home Assistant MQTT discovery: retained configurations tell where a sensor's state is published and what it means.

`<prefix>/<component>/[<node>/]<object>/config` and, for whole devices, `<prefix>/device/<object>/config`
(https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery). What is learned from them lets `home_assistant_state`
read topics that no other decoder knows. See docs/reference/formats/home-assistant.md.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.readings import Readings, as_suffix, as_table, as_text, fits
from ingest.measured import as_number
from ingest.message import Context, Decoded, Incoming, Reported, ignored, metadata
from ingest.vocabulary import meaning

Path = tuple[str | int, ...]

_ABBREVIATIONS: Mapping[str, str] = MappingProxyType(
    {
        "stat_t": "state_topic",
        "val_tpl": "value_template",
        "unit_of_meas": "unit_of_measurement",
        "dev_cla": "device_class",
        "stat_cla": "state_class",
        "dev": "device",
        "ids": "identifiers",
        "cns": "connections",
        "mdl": "model",
        "mdl_id": "model_id",
        "mf": "manufacturer",
        "uniq_id": "unique_id",
        "avty": "availability",
        "avty_t": "availability_topic",
        "t": "topic",
        "obj_id": "object_id",
        "def_ent_id": "default_entity_id",
        "o": "origin",
        "p": "platform",
        "cmps": "components",
    }
)
_PROPERTIES: Mapping[str, str] = MappingProxyType(
    {  # device class of a sensor: observed property
        **{
            name: name
            for name in (
                *("power", "reactive_power", "apparent_power", "voltage", "current", "frequency", "power_factor"),
                *("temperature", "humidity", "pressure", "battery", "distance", "weight", "speed"),
                *("pm1", "pm4", "pm10", "aqi"),
            )
        },
        "energy": "energy_import",
        "pm25": "pm2_5",
        "carbon_dioxide": "co2",
        "carbon_monoxide": "co",
        "nitrogen_monoxide": "no",
        "nitrogen_dioxide": "no2",
        "ozone": "o3",
        "sulphur_dioxide": "so2",
        "volatile_organic_compounds_parts": "tvoc",
        "atmospheric_pressure": "pressure",
        "sound_pressure": "noise",
    }
)
_WITHOUT_UNIT = frozenset({"power_factor", "aqi"})
_ELECTRICAL = frozenset({"power", "reactive_power", "apparent_power", "voltage", "current", "power_factor", "energy"})
_EXPORT = re.compile(r"export|produc|return|feed_?in|inject|surplus", re.IGNORECASE)
_OF_A_PERIOD = re.compile(r"today|yesterday|daily|hourly|weekly|month|year|last_|_day|session|period", re.IGNORECASE)
_OF_DEVICE = re.compile(r"(?<![a-z])(?:device|chip|cpu|soc|board|internal|core)(?![a-z])", re.IGNORECASE)
_PHASE = re.compile(
    r"(?:[Pp]hase|PHASE|(?<![A-Za-z])[lL]|(?<=[a-z])L)[_ -]?(?P<number>[1-3])(?![0-9])"
    r"|(?:[Pp]hase|PHASE)[_ -]?(?P<letter>[abcABC])(?![A-Za-z])"
)
_TARIFF = re.compile(r"(?:^|_)(?:t|tariff_?)(?P<number>[1-4])(?![0-9])", re.IGNORECASE)
_TEMPLATE = re.compile(
    r"\{\{-?\s*(?P<root>value_json|value)"
    r"(?P<path>(?:\.[A-Za-z_]\w*|\[\s*(?:'[^'\]]*'|\"[^\"\]]*\"|\d{1,4})\s*\])*)"
    r"(?:\s*\|\s*(?:float|int|round|default|is_defined|trim)(?:\s*\([^()]*\))?)*\s*-?\}\}"
)
_STEP = re.compile(r"\.(?P<name>\w+)|\[\s*(?:'(?P<single>[^'\]]*)'|\"(?P<double>[^\"\]]*)\"|(?P<index>\d+))\s*\]")
_LONGEST_TEMPLATE = 500
_LONGEST_TOPIC = 1000
_MOST_SENSORS = 300  # of a device, and of a state topic
_UNMEASURED = "-"  # instead of a sensor: what is published there is announced, and no quantity
_OF_ENTITIES = frozenset({"state", "attributes", "availability", "status", "set", "command"})
_NO_ENTRIES: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Sensor:
    """A configuration of a numeric sensor. `key` names it among all, `name` among those of its device."""

    key: str
    name: str
    topic: str
    observed_property: str
    unit: str
    path: Path


@decoder(
    "home_assistant", topics=("homeassistant/#",), retained=("homeassistant/+/+/config", "homeassistant/+/+/+/config")
)
def decode(message: Incoming, context: Context) -> Decoded:
    """Learn from a configuration; an empty one withdraws what an earlier one told. Nothing is measured in either.

    States under the same prefix are read if a configuration told of them; a JSON object of a device that never
    announced itself is left to a profile.
    """
    levels = message.levels
    if levels[-1] == "config" and len(levels) in (4, 5):
        return _configuration(message, context)
    if f"home_assistant_state:{message.topic}" in context.memory:
        return decode_state(message, context)
    if levels[-1] == "state" and len(levels) > 3 and message.payload.lstrip()[:1] == b"{":
        fields = as_table(message.body, "the state")
        return Decoded((Reported("/".join(levels[2:-1]), fields=fields),))
    if levels[-1] not in _OF_ENTITIES and message.payload.lstrip()[:1] == b"{":
        raise NotMine  # devices of other formats may publish below the prefix
    return ignored("nothing of a sensor that was announced")


@decoder("home_assistant_state", by_memory=True)
def decode_state(message: Incoming, context: Context) -> Decoded:
    """Decode a state on a topic that configurations named; it has no time."""
    entries = _table(context.memory.get(f"home_assistant_state:{message.topic}"))
    readings: dict[str, Readings] = {}
    for entry in map(_table, entries.values()):
        match entry:
            case {"thing": str(thing), "property": str(observed_property), "unit": str(unit), "path": list(path)}:
                of_thing = readings.setdefault(thing, Readings())
                of_thing.add(observed_property, _value(message, path), unit)
            case _:
                continue
    if not readings:
        thing_id = as_text(_table(entries.get(_UNMEASURED)).get("thing"))
        if thing_id is None or _has_numbers(message):
            raise NotMine
        return ignored("presence or a state, as it was announced", thing_id)
    things = [Reported(thing, observations=each.observations) for thing, each in readings.items() if each.observations]
    return Decoded(things) if things else ignored("no reading", next(iter(readings)))


def _has_numbers(message: Incoming) -> bool:
    """Whether a state has more to it than a state: a mapping may read what nobody announced."""
    fields = message.body if message.payload.lstrip()[:1] == b"{" else None
    return isinstance(fields, dict) and any(
        as_number(each) is not None for each in fields.values() if not isinstance(each, bool)
    )


def _value(message: Incoming, path: list[object]) -> object:
    """What stands at the end of `path`, null if the message does not go there; an empty path: the whole text."""
    if not path:
        return message.text
    value = message.body
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return None if isinstance(value, dict | list) else value


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else _NO_ENTRIES


def _configuration(message: Incoming, context: Context) -> Decoded:
    learned = _Learned(context.memory)
    _forget(message.topic, learned)
    if not message.payload:
        return metadata("a configuration was withdrawn", learned=learned.changes)
    settings = _expanded(as_table(message.body, "the configuration"))
    component, *ids = message.levels[1:-1]
    device = _expanded(_table(settings.get("device")))
    thing = _thing_id(settings, device, ids)
    known = _learn(message.topic, thing, _sensors(message.topic, component, ids[-1], settings), learned)
    for topic in _unmeasured(component, settings):
        if f"home_assistant_state:{topic}" not in context.memory:
            learned.table(f"home_assistant_state:{topic}").setdefault(_UNMEASURED, {"thing": thing})
    model = tuple(text for key in ("model", "model_id", "manufacturer") if (text := as_text(device.get(key))))
    reason = f"told where {known} quantities of a device are published" if known else "no numeric sensor we know"
    return metadata(reason, Reported(thing, model=model), learned=learned.changes)


@dataclass(slots=True)
class _Learned:
    """What earlier configurations told, and what this one changes about it."""

    before: Mapping[str, object]
    changes: dict[str, object] = field(default_factory=dict)

    def table(self, key: str) -> dict[str, object]:
        """The table of `key`, to be changed at will."""
        if key not in self.changes:
            self.changes[key] = dict(_table(self.before.get(key)))
        table = self.changes[key]
        assert isinstance(table, dict)  # noqa: S101 (put there in the line before)
        return table


def _forget(topic: str, learned: _Learned) -> None:
    """Take back what the configuration on `topic` told the last time."""
    told = learned.before.get(f"home_assistant:{topic}")
    if not told:
        return
    learned.changes[f"home_assistant:{topic}"] = {}
    states = _table(told).get("states")
    for state in states if isinstance(states, list) else ():
        entries = learned.table(f"home_assistant_state:{state}")
        for key in [key for key in entries if _is_of(key, topic)]:
            del entries[key]


def _is_of(key: str, topic: str) -> bool:
    return key == topic or key.startswith(f"{topic}#")


def _learn(topic: str, thing: str, sensors: Iterator[_Sensor], learned: _Learned) -> int:
    """Keep what the sensors of a configuration tell; the number of those that were kept.

    A property that another sensor of the same thing already stands for gets the name of the sensor behind it; the
    thing's own table keeps who was first, so that it stays so.
    """
    owners: dict[str, object] = {}
    states: list[object] = []
    for sensor in sensors:
        owners = learned.table(f"home_assistant:thing {thing}")
        name = _unowned(sensor, owners)
        entries = learned.table(f"home_assistant_state:{sensor.topic}")
        if name is None or len(entries) >= _MOST_SENSORS or len(owners) >= _MOST_SENSORS:
            continue
        owners[name] = sensor.key
        entries[sensor.key] = {"thing": thing, "property": name, "unit": sensor.unit, "path": list(sensor.path)}
        if sensor.topic not in states:
            states.append(sensor.topic)
    if states:
        learned.changes[f"home_assistant:{topic}"] = {"states": states}
    return sum(1 for key in owners.values() if isinstance(key, str) and _is_of(key, topic))


def _unowned(sensor: _Sensor, owners: Mapping[str, object]) -> str | None:
    suffix = as_suffix(sensor.name)
    candidates = [sensor.observed_property, *([f"{sensor.observed_property}_{suffix}"] if suffix else [])]
    mine = next((name for name in candidates if owners.get(name) == sensor.key), None)
    return mine or next((name for name in candidates if name not in owners), None)


def _expanded(settings: Mapping[str, object]) -> dict[str, object]:
    """Settings under their long names, with the base topic `~` filled in."""
    base = as_text(settings.get("~"))
    expanded: dict[str, object] = {}
    for key, value in settings.items():
        if base is not None and isinstance(value, str) and key != "~" and len(value) <= _LONGEST_TOPIC:
            if value.startswith("~"):
                value = base + value[1:]  # noqa: PLW2901 (each value is looked at once)
            elif value.endswith("~"):
                value = value[:-1] + base  # noqa: PLW2901
        expanded[_ABBREVIATIONS.get(key, key)] = value
    return expanded


def _thing_id(settings: Mapping[str, object], device: Mapping[str, object], ids: list[str]) -> str:
    """The first identifier of the device, without the name of the program that made it; else what names it best."""
    identifiers = device.get("identifiers")
    first = identifiers[0] if isinstance(identifiers, list) and identifiers else identifiers
    identifier = as_text(str(first) if isinstance(first, int) else first)
    if identifier is None:
        connections = device.get("connections")
        pair = connections[0] if isinstance(connections, list) and connections else None
        address = pair[1] if isinstance(pair, list) and len(pair) == 2 else None
        node = ids[0] if len(ids) > 1 else None
        return as_text(address) or node or as_text(settings.get("unique_id")) or ids[-1]
    origin = as_text(_expanded(_table(settings.get("origin"))).get("name"))
    for program in filter(None, (origin, "zigbee2mqtt")):
        for mark in "_-":
            if identifier.lower().startswith(f"{program.lower()}{mark}") and len(identifier) > len(program) + 1:
                return identifier[len(program) + 1 :]
    return identifier


def _sensors(topic: str, component: str, object_id: str, settings: Mapping[str, object]) -> Iterator[_Sensor]:
    """The numeric sensors that a configuration of an entity or of a whole device announces."""
    if component == "sensor":
        sensor = _sensor(topic, object_id, settings)
        if sensor is not None:
            yield sensor
    elif component == "device":
        shared = {key: settings[key] for key in ("state_topic", "~") if key in settings}
        for name, each in list(_table(settings.get("components")).items())[:_MOST_SENSORS]:
            if as_text(name) is None:
                continue
            entity = _expanded({**shared, **_table(each)})
            sensor = (
                _sensor(f"{topic}#{name[:100]}", name[:100], entity) if entity.get("platform") == "sensor" else None
            )
            if sensor is not None:
                yield sensor


def _unmeasured(component: str, settings: Mapping[str, object]) -> Iterator[str]:
    """The topics of presence and, unless it is a sensor, of state that a configuration names."""
    listed = settings.get("availability")
    told = [settings.get("availability_topic")]
    told += [_expanded(_table(each)).get("topic") for each in (listed if isinstance(listed, list) else [listed])[:10]]
    if component == "device":
        for each in list(_table(settings.get("components")).values())[:_MOST_SENSORS]:
            entity = _expanded(_table(each))
            told.append(entity.get("state_topic") if entity.get("platform") != "sensor" else None)
    elif component != "sensor":
        told.append(settings.get("state_topic"))
    yield from (topic for each in told if (topic := as_text(each)) is not None and len(topic) <= _LONGEST_TOPIC)


def _sensor(key: str, name: str, settings: Mapping[str, object]) -> _Sensor | None:
    """What one sensor measures and where; None if it is no quantity we know, or its template does more than to look."""
    topic = as_text(settings.get("state_topic"))
    path = _path(settings.get("value_template"))
    if topic is None or path is None or len(topic) > _LONGEST_TOPIC:
        return None
    hints = f"{name} {' '.join(map(str, path))}"
    names = [str(path[-1])] if path else [name, topic.removesuffix("/state").rpartition("/")[2]]
    found = _quantity(settings, hints, names)
    if found is None:
        return None
    return _Sensor(key, name, topic, *found, path)


def _quantity(settings: Mapping[str, object], hints: str, names: Sequence[str]) -> tuple[str, str] | None:
    """Observed property and unit, by device class, else by the first of `names` that with the unit leaves no doubt.

    `hints` are all names it goes by.
    """
    device_class = as_text(settings.get("device_class"))
    unit = as_text(settings.get("unit_of_measurement"))
    if device_class is None:
        told = (meaning(name, unit) for name in names) if unit else ()
        observed_property = next((each.observed_property for each in told if each is not None and each.certain), None)
    else:
        observed_property = _PROPERTIES.get(device_class)
        unit = "1" if unit is None and device_class in _WITHOUT_UNIT else unit
    if observed_property is None or unit is None:
        return None
    if device_class == "energy":
        if _OF_A_PERIOD.search(hints):
            return None  # it starts again with each period, while the register beside it does not
        observed_property = "energy_export" if _EXPORT.search(hints) else "energy_import"
    elif device_class == "voltage" and "batter" in hints.lower():
        observed_property = "battery_voltage"
    elif device_class == "temperature" and _OF_DEVICE.search(hints):
        observed_property = "device_temperature"
    if device_class in _ELECTRICAL:
        observed_property += _part(hints)
    return (observed_property, unit) if fits(observed_property, unit) else None


def _part(hints: str) -> str:
    """The suffix of the phase or tariff that the names tell."""
    phase = _PHASE.search(hints)
    if phase is not None:
        return f"_l{phase['number'] or 'abc'.index(phase['letter'].lower()) + 1}"
    tariff = _TARIFF.search(hints)
    return "" if tariff is None else f"_t{tariff['number']}"


def _path(template: object) -> Path | None:
    """Where a template looks: () for the whole payload, None if it does more than to look up one value.

    >>> _path("{{ value_json['ENERGY'].Power | float(0) | round(1) }}"), _path("{{ value }}"), _path(None)
    (('ENERGY', 'Power'), (), ())
    >>> _path("{{ value_json.a + value_json.b }}") is None
    True
    """
    if template is None:
        return ()
    if as_text(template) is None or not isinstance(template, str) or len(template) > _LONGEST_TEMPLATE:
        return None
    parts = _TEMPLATE.fullmatch(template.strip())
    if parts is None or (parts["root"] == "value" and parts["path"]):
        return None
    steps = tuple(
        int(step["index"]) if step["index"] else step["name"] or step["single"] or step["double"] or ""
        for step in _STEP.finditer(parts["path"])
    )
    return steps if steps or parts["root"] == "value" else None
