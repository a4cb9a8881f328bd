"""Shelly devices of the second generation and later: the status of a component, and notifications of several.

`<topic prefix>/status/<component>:<n>` and `<topic prefix>/events/rpc`; names and units of each component are those of
https://shelly-api-docs.shelly.cloud/gen2/ComponentsAndServices/Introduction. See docs/reference/formats/shelly-gen2.md.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.readings import Readings, as_table, as_text, epoch_moment
from ingest.message import Context, Decoded, Incoming, Reported, ignored
from pulso.errors import DecodeError, RejectReason

Quantities = Mapping[str, tuple[str, str]]

_OUTPUT: Quantities = MappingProxyType(
    {  # switch, pm1, light, cover: what is metered is the load
        "apower": ("power", "W"),
        "aprtpower": ("apparent_power", "VA"),
        "voltage": ("voltage", "V"),
        "current": ("current", "A"),
        "freq": ("frequency", "Hz"),
        "pf": ("power_factor", "1"),
        "aenergy.total": ("energy_import", "Wh"),
        "ret_aenergy.total": ("energy_export", "Wh"),
        "temperature.tC": ("device_temperature", "°C"),
    }
)
_PHASES = (("a", "_l1"), ("b", "_l2"), ("c", "_l3"))
_OF_PHASE: Quantities = MappingProxyType(
    {
        "act_power": ("power", "W"),
        "aprt_power": ("apparent_power", "VA"),
        "voltage": ("voltage", "V"),
        "current": ("current", "A"),
        "pf": ("power_factor", "1"),
    }
)
_METER: Quantities = MappingProxyType(
    {
        **{f"{a}_{name}": (what + suffix, unit) for a, suffix in _PHASES for name, (what, unit) in _OF_PHASE.items()},
        **{f"{a}_freq": ("frequency", "Hz") for a, _ in _PHASES},  # one grid: the first phase that tells it
        "n_current": ("current_n", "A"),
        "total_act_power": ("power", "W"),
        "total_aprt_power": ("apparent_power", "VA"),
        "total_current": ("current", "A"),
    }
)
_METER_DATA: Quantities = MappingProxyType(
    {
        **{f"{a}_total_act_energy": (f"energy_import{suffix}", "Wh") for a, suffix in _PHASES},
        **{f"{a}_total_act_ret_energy": (f"energy_export{suffix}", "Wh") for a, suffix in _PHASES},
        "total_act": ("energy_import", "Wh"),
        "total_act_ret": ("energy_export", "Wh"),
    }
)
_COMPONENTS: Mapping[str, Quantities] = MappingProxyType(
    {
        **dict.fromkeys(("switch", "pm1", "light", "cover", "cct", "rgb", "rgbw"), _OUTPUT),
        "em": _METER,
        "emdata": _METER_DATA,
        "em1": MappingProxyType({**_OF_PHASE, "freq": ("frequency", "Hz")}),
        "em1data": MappingProxyType(
            {"total_act_energy": ("energy_import", "Wh"), "total_act_ret_energy": ("energy_export", "Wh")}
        ),
        "temperature": MappingProxyType({"tC": ("temperature", "°C")}),
        "humidity": MappingProxyType({"rh": ("humidity", "%")}),
        "voltmeter": MappingProxyType({"voltage": ("voltage", "V")}),
        "devicepower": MappingProxyType({"battery.percent": ("battery", "%"), "battery.V": ("battery_voltage", "V")}),
        "thermostat": MappingProxyType({"current_C": ("temperature", "°C")}),
        "blutrv": MappingProxyType({"current_C": ("temperature", "°C"), "battery": ("battery", "%")}),
    }
)
_COMPONENT = re.compile(r"(?P<kind>[a-z][a-z0-9_]{0,30}):(?P<number>\d{1,9})")
_NOT_MEASURED = frozenset(
    {  # of the device itself, and what has a state but no quantity
        *("sys", "wifi", "eth", "cloud", "mqtt", "ws", "ble", "ui", "bthome", "modbus", "matter", "knx", "zigbee"),
        *("input", "smoke", "flood", "illuminance", "script", "schedule", "presence", "presencezone", "group"),
        *("bthomedevice", "bthomesensor", "bthomecontrol", "media", "service", "plugs_ui"),
        *("boolean", "number", "text", "enum", "button", "object", "camera", "dali", "serial"),
    }
)
_OF_THE_DEVICE: Mapping[str, str] = MappingProxyType(
    {"sys": "uptime", "wifi": "sta_ip", "eth": "ip", **dict.fromkeys(("cloud", "mqtt", "ws"), "connected")}
)
"""What tells the status of a part of the device itself on topics that do not name a Shelly."""

_MOST_COMPONENTS = 200
_FIRST_CLOCK = 946_684_800  # seconds to 2000; a device that does not know the time yet counts from its start
_TALK = frozenset({"online", "rpc", "command"})  # last level of what is no status


@decoder(
    "shelly_gen2",
    topics=tuple(
        f"{'+/' * depth}{kind}"
        for depth in (1, 2, 3, 4)
        for kind in ("status/+", "events/rpc", "online", "rpc", "command", "command/+", "debug/#")
    ),
)
def decode(message: Incoming, _context: Context) -> Decoded:
    """Decode the status of one component, which has no time, or a notification, whose time is `params.ts`."""
    levels = message.levels
    if levels[-2:-1] == ["status"]:
        return _status(message, _prefix(levels[:-2]), levels[-1])
    if levels[-2:] == ["events", "rpc"]:
        return _notification(message, _prefix(levels[:-2]))
    return _talk(message)


def _at(seconds: object) -> int | None:
    """The moment that the clock of a device tells, if it is set."""
    if seconds is None or (isinstance(seconds, int | float) and seconds < _FIRST_CLOCK):
        return None
    return epoch_moment(seconds, per_second=1)


def _prefix(levels: list[str]) -> str:
    """The device: its topic prefix, which is its id unless it was set to another one."""
    if not all(levels):
        raise NotMine
    return "/".join(levels)


def _is_shelly(device: str) -> bool:
    return device.rpartition("/")[2].lower().startswith("shelly")


def _talk(message: Incoming) -> Decoded:
    """Presence, questions, answers and logs. A prefix of another name is known by the form of the message."""
    levels = message.levels
    if levels[-1] == "rpc" and (status := _answer(message)) is not None:
        return status
    if levels[0] == "shellies":
        raise NotMine  # the first generation
    place = -2 if levels[-1] not in _TALK else -1
    if levels[-1] == "online" and message.payload.strip() in (b"true", b"false"):
        return ignored("presence", _prefix(levels[:-1]))
    if any(_is_shelly(level) for level in levels[:place]):
        return ignored("a question, an answer or a log")
    raise NotMine


def _answer(message: Incoming) -> Decoded | None:
    """The answer to `Shelly.GetStatus`, on the topic of who asked: the status of all components of `src`.

    Time: the clock of the device, if it is set. The answer to another question does not tell which component it is of.
    None for what is no answer of a Shelly.
    """
    is_answer = b'"src"' in message.payload and b'"result"' in message.payload
    body = message.body if is_answer else None
    device = as_text(body.get("src")) if isinstance(body, dict) else None
    status = body.get("result") if isinstance(body, dict) else None
    if device is None or not _is_shelly(device):
        return None
    if not isinstance(status, dict) or "sys" not in status:
        return ignored("an answer that does not tell its question", device)
    clock = status["sys"].get("unixtime") if isinstance(status["sys"], dict) else None
    readings = Readings(_at(clock))
    _read_all(readings, status)
    if not readings.observations:
        return ignored("a status without a reading", device)
    return Decoded((Reported(device, observations=readings.observations),))


def _status(message: Incoming, device: str, name: str) -> Decoded:
    component = _COMPONENT.fullmatch(name)
    kind = component["kind"] if component else name
    if kind not in _COMPONENTS:
        if _is_shelly(device) or (component is not None and kind in _NOT_MEASURED) or _is_of_the_device(message, kind):
            return ignored(f"{kind[:40]} measures nothing", device)
        raise NotMine
    if component is None:
        raise NotMine
    if not message.payload:
        return ignored("a retained status that was cleared", device)
    readings = Readings()
    _read(readings, kind, component["number"], as_table(message.body, name))
    if not readings.observations:
        return ignored(f"{name} has no reading", device)
    return Decoded((Reported(device, observations=readings.observations),))


def _is_of_the_device(message: Incoming, kind: str) -> bool:
    if kind not in _OF_THE_DEVICE or message.payload.lstrip()[:1] != b"{":
        return False
    return _OF_THE_DEVICE[kind] in as_table(message.body, kind)


def _notification(message: Incoming, device: str) -> Decoded:
    body = message.body
    if not isinstance(body, dict) or not isinstance(body.get("method"), str):
        raise NotMine
    if body["method"] not in ("NotifyStatus", "NotifyFullStatus"):
        return ignored(f"{body['method'][:40]} holds no measurement", device)
    params = as_table(body.get("params"), "params")
    readings = Readings(_at(params.get("ts")))
    _read_all(readings, params)
    if not readings.observations:
        return ignored("a notification without a reading", device)
    return Decoded((Reported(device, observations=readings.observations),))


def _read_all(readings: Readings, components: Mapping[str, object]) -> None:
    if len(components) > _MOST_COMPONENTS:
        raise DecodeError(RejectReason.TOO_MANY_PROPERTIES, f"more than {_MOST_COMPONENTS} components in one message")
    for name, status in components.items():
        component = _COMPONENT.fullmatch(name)
        if component is not None and component["kind"] in _COMPONENTS and status is not None:
            _read(readings, component["kind"], component["number"], as_table(status, name))


def _read(readings: Readings, kind: str, number: str, status: Mapping[str, object]) -> None:
    """Add the readings of one component. The first of a kind has number 0 and no suffix; others have `_ch<number>`."""
    suffix = f"_ch{int(number)}" if int(number) else ""
    for path, (observed_property, unit) in _COMPONENTS[kind].items():
        outer, _, inner = path.partition(".")
        value = status.get(outer)
        if inner:
            value = value.get(inner) if isinstance(value, dict) else None
        readings.add(observed_property + suffix, value, unit)
