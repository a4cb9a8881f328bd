"""Devices of homes and small buildings: what the examples beside the decoders do not show."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders import NotMine, decoders
from ingest.decoders.home_assistant import _path
from ingest.interpret import Interpretation, Interpreter, NotUnderstood
from ingest.mapping import DeviceBook
from ingest.message import Context, Decoded, Incoming, MessageOutcome, RawMessage
from pulso.errors import DecodeError, RejectReason
from pulso.model import from_micros
from pulso.units import canonical_units, display

MEXICO = ZoneInfo("America/Mexico_City")
NOW = 1_795_370_400_000_000

TOPICS = {
    "zigbee2mqtt": ("zigbee2mqtt/a", "zigbee2mqtt/a/power", "zigbee2mqtt/bridge/devices", "zigbee2mqtt/a/b/c", "z2m/a"),
    "tasmota": (
        *("tele/a/SENSOR", "stat/a/STATUS8", "a/b/tele/SENSOR", "tele/a/RESULT", "tele/a/ENERGY", "x/SENSOR", "tele"),
        *("tasmota/discovery/00AA/config", "stat/a/STATUS0", "cmnd/a/POWER"),
    ),
    "shelly_gen1": (
        *("shellies/a/emeter/0/power", "shellies/shellyem3-1/emeter/2/total", "shellies/a/relay/0/energy"),
        *("shellies/announce", "shellies/a/sensor/temperature", "shellies/a/info", "shellies/a", "shellies"),
    ),
    "shelly_gen2": (
        *("shelly1-a/status/switch:0", "x/y/status/em:0", "a/events/rpc", "a/online", "shelly-a/rpc", "a/debug/log"),
        *("a/status/emdata:99999", "a/status/sys", "a/status/temperature:100"),
    ),
    "sensor_community": ("air", "airrohr/12345/json"),
    "homie": (
        *("homie/5/d/n/temperature", "homie/d/n/temperature", "homie/5/d/$description", "homie/d/n/p/$unit", "homie"),
        *("homie/5/d/n/p/set", "homie/5/$broadcast/x", "homie/d/$nodes", "other/5/d/n/humidity"),
    ),
    "home_assistant": (
        *("homeassistant/sensor/a/config", "homeassistant/sensor/n/a/config", "homeassistant/device/a/config"),
        *("homeassistant/sensor/a/state", "homeassistant/status", "homeassistant/switch/a/config"),
    ),
    "home_assistant_state": ("a/state", "homeassistant/sensor/a/state"),
}
WORDS = st.sampled_from(
    [
        *("power", "voltage", "battery", "temperature", "update", "last_seen", "energy_phase_b", "device", "exposes"),
        *(
            "Time",
            "StatusSNS",
            "ENERGY",
            "Total",
            "Power",
            "TempUnit",
            "BME280",
            "DS18B20-1",
            "Temperature",
            "ZbReceived",
        ),
        *(
            "method",
            "NotifyStatus",
            "params",
            "ts",
            "switch:0",
            "em:0",
            "aenergy",
            "total",
            "a_act_power",
            "tC",
            "apower",
        ),
        *(
            "esp8266id",
            "sensordatavalues",
            "value_type",
            "value",
            "SDS_P1",
            "GPS_lat",
            "location",
            "latitude",
            "sensor",
        ),
        *("nodes", "properties", "unit", "datatype", "float", "~", "stat_t", "state_topic", "device_class", "val_tpl"),
        *("unit_of_measurement", "kWh", "W", "{{ value_json.a }}", "dev", "ids", "cmps", "p", "identifiers", "origin"),
        *("path", "thing", "property", "2026-11-22T11:00:00", "1e400", "-", "nan", "friendly_name", "definition"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=8), inner, max_size=6),
    max_leaves=20,
)
PLACES = st.sampled_from([(name, topic) for name, topics in TOPICS.items() for topic in topics])


def decode(name: str, topic: str, payload: bytes, memory: Mapping[str, object] | None = None) -> Decoded:
    return decoders[name].decode(Incoming(RawMessage(topic, payload, NOW)), Context(MEXICO, memory or {}))


def results(name: str, topic: str, payload: object, memory: Mapping[str, object] | None = None) -> dict[str, float]:
    """Results by property of the only thing of a message."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    (thing,) = decode(name, topic, body, memory).things
    return {each.observed_property: each.result for each in thing.observations}


def texts(value: object) -> Iterator[str]:
    """All texts within a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value:
            yield from texts(each)
        if isinstance(value, dict):
            yield from texts(list(value.values()))


def check(name: str, topic: str, payload: bytes, memory: Mapping[str, object]) -> None:
    """Nothing but a decoded message or the two errors a decoder may raise; what is decoded can be stored."""
    try:
        decoded = decode(name, topic, payload, memory)
    except (DecodeError, NotMine):
        return
    for thing in decoded.things:
        names = [each.observed_property for each in thing.observations]
        assert len(names) == len(set(names))
        for each in thing.observations:
            admitted = canonical_units(each.observed_property)
            assert admitted is not None
            assert (each.unit or admitted[0]) in admitted
            assert each.result - each.result == 0  # finite
    assert all("\x00" not in text for text in texts(dict(decoded.learned)))  # PostgreSQL keeps no such text


@given(place=PLACES, value=JSON, memory=JSON)
def test_any_json_decodes_or_is_refused(place: tuple[str, str], value: Any, memory: Any) -> None:
    name, topic = place
    remembered = {f"{name}:{topic}": memory, f"homie:{topic}": memory, "homie:homie/5/d": memory}
    check(name, topic, json.dumps(value).encode("utf-8", "surrogatepass"), remembered)


@given(place=PLACES, payload=st.binary(max_size=300))
def test_any_bytes_decode_or_are_refused(place: tuple[str, str], payload: bytes) -> None:
    check(*place, payload, {})


LEVELS = st.sampled_from(
    [
        *(
            "",
            "a",
            "status",
            "events",
            "rpc",
            "switch:0",
            "tele",
            "stat",
            "SENSOR",
            "RESULT",
            "5",
            "homie",
            "$description",
        ),
        *(
            "set",
            "$unit",
            "config",
            "state",
            "bridge",
            "devices",
            "zigbee2mqtt",
            "shellies",
            "emeter",
            "0",
            "power",
            "device",
        ),
    ]
)


@given(place=PLACES, levels=st.lists(LEVELS | st.text(max_size=6), max_size=6), value=JSON)
def test_any_topic_is_decoded_or_refused(place: tuple[str, str], levels: list[str], value: Any) -> None:
    """A pack may claim any topic for a decoder."""
    check(place[0], "/".join(levels), json.dumps(value).encode("utf-8", "surrogatepass"), {})


@pytest.mark.parametrize(
    ("name", "topic", "payload"),
    [
        ("zigbee2mqtt", "zigbee2mqtt/a", {f"power_{'a_' * 20}{n}": n for n in range(20_000)}),
        (
            "zigbee2mqtt",
            "zigbee2mqtt/bridge/devices",
            [{"friendly_name": str(n), "definition": {}} for n in range(15_000)],
        ),
        ("tasmota", "tele/a/SENSOR", {f"DS18B20-{n}": {"Temperature": 1} for n in range(25_000)}),
        ("sensor_community", "a", [{"sensordatavalues": []}] * 25_000),
        ("homie", "homie/5/d/$description", {"nodes": {str(n): {"properties": {"t": {}}} for n in range(15_000)}}),
        (
            "home_assistant",
            "homeassistant/sensor/a/config",
            {"stat_t": "a", "val_tpl": "{{ value_json" + ".a" * 200_000},
        ),
        ("home_assistant", "homeassistant/device/a/config", {"cmps": {str(n): {"p": "sensor"} for n in range(30_000)}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_message_of_a_megabyte_takes_less_than_a_second(name: str, topic: str, payload: object) -> None:
    body = json.dumps(payload).encode()[: 1 << 20]
    began = time.process_time()
    check(name, topic, body, {})
    assert time.process_time() - began < 1


class Site:
    """An interpreter with the memory that the pipeline keeps for it."""

    def __init__(self) -> None:
        self.memory: dict[str, object] = {}
        self._interpreter = Interpreter(DeviceBook.empty(), MEXICO, self.memory)

    def hears(self, topic: str, payload: object) -> Interpretation:
        body = payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()
        meant = self._interpreter.interpret(RawMessage(topic, body, NOW))
        self.memory.update(meant.learned)
        return meant

    def observes(self, topic: str, payload: object) -> dict[str, dict[str, float]]:
        return {
            thing.external_id: {each.observed_property: each.result for each in thing.observations}
            for thing in self.hears(topic, payload).things
        }


# Zigbee2MQTT


def test_units_that_bridge_devices_tells_hold_for_the_states_that_follow() -> None:
    site = Site()
    exposes = [
        {"type": "numeric", "property": "voc", "unit": "ppb"},
        {"type": "numeric", "property": "pressure", "unit": "kPa"},
        {"type": "numeric", "property": "voltage", "unit": "mV"},
        {"type": "climate", "features": [{"type": "numeric", "property": "local_temperature", "unit": "°F"}]},
    ]
    state = {"voc": 9, "pressure": 78.1, "voltage": 1500, "local_temperature": 50}
    assert site.observes("zigbee2mqtt/a/b", state) == {"a/b": {"pressure": 78.1, "temperature": 50}}
    site.hears("zigbee2mqtt/bridge/devices", [{"friendly_name": "a/b", "definition": {"exposes": exposes}}])

    observed = site.observes("zigbee2mqtt/a/b", state)["a/b"]

    assert observed == pytest.approx({"tvoc": 9, "pressure": 781, "battery_voltage": 1.5, "temperature": 10})


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"voltage": 231}, {"voltage": 231}),
        ({"voltage": 3010}, {}),  # no mains has 3 kV, and nothing says that there is a battery
        ({"voltage": 3010, "battery": 90}, {"battery": 90, "battery_voltage": 3.01}),
        ({"voltage": 3.0, "battery": 90}, {"battery": 90, "battery_voltage": 3.0}),
        ({"voltage": 30, "battery": 90}, {"battery": 90}),  # not in millivolts as documented
        ({"voltage": 2990, "battery_low": False}, {"battery_voltage": 2.99}),
        ({"voltage": 229, "battery": 90, "power": 4}, {"battery": 90, "voltage": 229, "power": 4}),
        ({"power_factor": 97}, {}),  # percent, perhaps
        ({"power_left": 3, "energy_l2": 4, "current_2": 1}, {"power_left": 3, "energy_import_l2": 4, "current_ch2": 1}),
        (
            {"power_a": 1, "power_b": 2, "power_c": 3, "power": 6},
            {"power_l1": 1, "power_l2": 2, "power_l3": 3, "power": 6},
        ),
        ({"temperature_calibration": 1, "power_on_behavior": "on", "humidity_max": 60}, {}),
        ({"occupancy": True, "co": None, "eco2": 500, "illuminance": 4}, {}),
    ],
    ids=str,
)
def test_fields_of_a_state(state: dict[str, object], expected: dict[str, float]) -> None:
    assert results("zigbee2mqtt", "zigbee2mqtt/x", state) == expected


def test_a_base_topic_of_another_name_is_decoded_where_a_pack_claims_it() -> None:
    assert decode("zigbee2mqtt", "floor2/kitchen/plug", b'{"power": 3}').things[0].external_id == "kitchen/plug"
    assert decode("zigbee2mqtt", "floor2/bridge/state", b'{"state": "online"}').outcome is MessageOutcome.IGNORE


# Tasmota


@pytest.mark.parametrize(
    ("topic", "device"),
    [
        ("tele/plug/SENSOR", "plug"),
        ("plug/tele/SENSOR", "plug"),
        ("tele/house/floor 1/plug/SENSOR", "house/floor 1/plug"),
        ("house/plug/tele/SENSOR", "house/plug"),
        ("city/tele/plug/SENSOR", "city/plug"),
        ("city/plug/SENSOR", "city/plug"),
    ],
)
def test_the_device_is_what_is_left_of_the_full_topic(topic: str, device: str) -> None:
    payload = {"Time": "2026-11-22T11:00:00", "ENERGY": {"Power": 1}}
    assert Site().observes(topic, payload) == {device: {"power": 1}}


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-07-01T12:00:00", "2026-07-01T18:00:00+00:00"),
        ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00+00:00"),
        ("2026-07-01T12:00:00+02:00", "2026-07-01T10:00:00+00:00"),
        ("2026.07.01 12:00:00", "2026-07-01T18:00:00+00:00"),
        ("1970-01-01T00:00:12", None),
        (None, None),
    ],
)
def test_time_of_a_sensor_message(text: str | None, at: str | None) -> None:
    (thing,) = decode("tasmota", "tele/a/SENSOR", json.dumps({"Time": text, "ENERGY": {"Power": 1}}).encode()).things
    when = thing.observations[0].phenomenon_time
    assert (None if when is None else from_micros(when).isoformat()) == at


def test_estimates_counts_and_tags_are_never_measured() -> None:
    payload = {
        "Time": "2026-11-22T11:00:00",
        "CCS811": {"eCO2": 450, "TVOC": 7},
        "PMS5003": {"CF2.5": 9, "PM2.5": 8, "PB0.3": 900},
        "Wiegand": {"UID": "4711"},
        "GPS": {"lat": 19.4},
    }
    (thing,) = decode("tasmota", "tele/a/SENSOR", json.dumps(payload).encode()).things
    assert {each.observed_property for each in thing.observations} == {"tvoc", "pm2_5"}
    assert thing.fields is None


def test_what_a_serial_bridge_received_is_left_to_a_mapping() -> None:
    with pytest.raises(NotUnderstood) as caught:
        Site().hears("tele/bridge/RESULT", {"SerialReceived": "1-0:1.8.0(000123.456*kWh)"})
    assert caught.value.reason is RejectReason.UNKNOWN_TOPIC


# Shelly


def test_later_generations_may_have_a_prefix_under_that_of_the_first() -> None:
    observed = Site().observes("shellies/yard/status/switch:0", {"id": 0, "apower": 4.5})
    assert observed == {"shellies/yard": {"power": 4.5}}


def test_personal_and_network_data_of_a_full_status_stay_behind() -> None:
    params = {
        "ts": 1795370370.1,
        "wifi": {"ssid": "Family Lopez", "rssi": -60},
        "sys": {"mac": "AA"},
        "em1:0": {"voltage": 127},
    }
    meant = Site().hears("shelly-a/events/rpc", {"method": "NotifyFullStatus", "params": params})
    assert "Lopez" not in repr(meant)
    assert meant.outcome is MessageOutcome.INGEST


@pytest.mark.parametrize("topic", ["plant/status/line:1", "plant/status/state", "plant/online", "a/b/rpc"])
def test_topics_of_other_makers_are_left_to_them(topic: str) -> None:
    with pytest.raises(NotMine):
        decode("shelly_gen2", topic, b'{"a": 1}')


# Home Assistant


def configuration(topic: str, **settings: object) -> dict[str, object]:
    return {
        "state_topic": topic,
        "device": {"identifiers": ["dev1"]},
        "value_template": "{{ value_json.v }}",
        **settings,
    }


CELSIUS = {"device_class": "temperature", "unit_of_measurement": "°C"}


def test_other_formats_below_the_prefix_of_home_assistant_are_read() -> None:
    site = Site()
    told = {"ZbReceived": {"0x5480": {"Device": "0x5480", "Temperature": 20.5, "LinkQuality": 76}}}
    assert site.observes("homeassistant/tele/zbbridge/SENSOR", told) == {"0x5480": {"temperature": 20.5}}
    assert site.hears("homeassistant/sensor/hall/attributes", {"power": 4}).outcome is MessageOutcome.IGNORE


def test_a_state_is_understood_from_its_announcement_to_its_withdrawal() -> None:
    site = Site()
    site.hears("homeassistant/sensor/t/config", configuration("my/state", **CELSIUS))
    assert site.observes("my/state", {"v": 20}) == {"dev1": {"temperature": 20}}
    site.hears("homeassistant/sensor/t/config", configuration("my/other", **CELSIUS))
    assert site.observes("my/other", {"v": 21}) == {"dev1": {"temperature": 21}}
    with pytest.raises(NotUnderstood):
        site.hears("my/state", {"v": 20})
    site.hears("homeassistant/sensor/t/config", "")
    with pytest.raises(NotUnderstood):
        site.hears("my/other", {"v": 21})


def test_two_thermometers_of_a_device_keep_their_properties_in_whatever_order_they_come_again() -> None:
    site = Site()
    inside, outside = configuration("in", **CELSIUS), configuration("out", **CELSIUS)
    site.hears("homeassistant/sensor/inside/config", inside)
    site.hears("homeassistant/sensor/outside/config", outside)
    site.hears("homeassistant/sensor/outside/config", outside)
    site.hears("homeassistant/sensor/inside/config", inside)

    assert site.observes("in", {"v": 20}) == {"dev1": {"temperature": 20}}
    assert site.observes("out", {"v": 9}) == {"dev1": {"temperature_outside": 9}}


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("energy", {"device_class": "energy", "unit_of_measurement": "Wh"}, "energy_import"),
        ("energy_returned", {"device_class": "energy", "unit_of_measurement": "kWh"}, "energy_export"),
        ("energy_today", {"device_class": "energy", "unit_of_measurement": "kWh"}, None),
        ("power_l2", {"device_class": "power", "unit_of_measurement": "kW"}, "power_l2"),
        ("voltage_phase_c", {"device_class": "voltage", "unit_of_measurement": "V"}, "voltage_l3"),
        ("powerL3", {"device_class": "power", "unit_of_measurement": "W"}, "power_l3"),
        ("total_1", {"device_class": "power", "unit_of_measurement": "W"}, "power"),
        ("esp32_garden", CELSIUS, "temperature"),
        ("battery_voltage", {"device_class": "voltage", "unit_of_measurement": "mV"}, "battery_voltage"),
        ("cpu_temp", CELSIUS, "device_temperature"),
        ("pm25", {"device_class": "pm25", "unit_of_measurement": "µg/m³"}, "pm2_5"),
        ("sound", {"device_class": "sound_pressure", "unit_of_measurement": "dB"}, "noise"),
        ("voc", {"device_class": "volatile_organic_compounds_parts", "unit_of_measurement": "ppb"}, "tvoc"),
        ("pf", {"device_class": "power_factor"}, "power_factor"),
        ("power", {"device_class": "power"}, None),  # no unit
        ("power", {"device_class": "power", "unit_of_measurement": "kWh"}, None),  # no unit of power
        ("door", {"device_class": "enum"}, None),
    ],
    ids=str,
)
def test_device_class_name_and_unit_tell_the_property(
    name: str, settings: dict[str, Any], expected: str | None
) -> None:
    site = Site()
    site.hears(f"homeassistant/sensor/{name}/config", configuration("s", **settings))
    if expected is None:
        with pytest.raises(NotUnderstood):
            site.hears("s", {"v": 1})
    else:
        assert set(site.observes("s", {"v": 1})["dev1"]) == {expected}


@pytest.mark.parametrize(
    ("template", "path"),
    [
        (None, ()),
        ("{{ value }}", ()),
        ("{{value|float}}", ()),
        ("{{ value_json.a }}", ("a",)),
        ("{{- value_json.a.b -}}", ("a", "b")),
        ('{{ value_json["a b"][0].c | round(2) | default(0) }}', ("a b", 0, "c")),
        ("{{ value_json }}", None),
        ("{{ value_json.a * 0.001 }}", None),
        ("{{ value_json.get('a') }}", None),
        ("{{ value.split(';')[0] }}", None),
        ("{% if value_json.a %}1{% endif %}", None),
        ("{{ states('sensor.x') }}", None),
        ("{{ value_json.a | abs }}", None),
        ("{{ value_json.a }}{{ value_json.b }}", None),
        (7, None),
    ],
    ids=str,
)
def test_only_templates_that_look_up_one_value_are_followed(template: object, path: tuple[object, ...] | None) -> None:
    assert _path(template) == path


# Homie


def test_version_4_tells_units_and_nodes_in_topics_of_their_own() -> None:
    site = Site()
    site.hears("homie/d/$nodes", "inside,outside")
    for node in ("inside", "outside"):
        site.hears(f"homie/d/{node}/$properties", "temperature,power")
    site.hears("homie/d/outside/temperature/$unit", "°F")
    site.hears("homie/d/inside/power/$unit", "kW")

    assert site.observes("homie/d/inside/temperature", "20") == {"d": {"temperature": 20}}
    assert site.observes("homie/d/outside/temperature", "50") == {"d": pytest.approx({"temperature_outside": 10})}
    assert site.observes("homie/d/inside/power", "1.5") == {"d": {"power": 1500}}


def test_a_quantity_whose_unit_nobody_told_is_kept_and_not_guessed() -> None:
    with pytest.raises(NotUnderstood) as caught:
        Site().hears("homie/5/d/meter/power", "12")
    assert caught.value.reason is RejectReason.UNMAPPED
    assert caught.value.external_id == "d"


def test_a_removed_device_is_forgotten() -> None:
    site = Site()
    described = {"nodes": {"m": {"properties": {"power": {"unit": "W", "datatype": "float"}}}}}
    site.hears("homie/5/d/$description", described)
    assert site.observes("homie/5/d/m/power", "12") == {"d": {"power": 12}}
    site.hears("homie/5/d/$description", "")
    with pytest.raises(NotUnderstood):
        site.hears("homie/5/d/m/power", "12")


# Sensor.Community


@pytest.mark.parametrize(
    ("record", "topic", "expected"),
    [
        ({"esp8266id": "77"}, "a/12345/b", "77"),
        ({"esp8266id": "esp8266-77"}, "a", "77"),
        ({"raspiid": "ab12"}, "a", "ab12"),
        ({"sensor": {"id": 9}}, "a", "9"),
        ({}, "air/esp8266-123456/json", "123456"),
    ],
)
def test_whose_values_they_are(record: dict[str, object], topic: str, expected: str) -> None:
    values = {"sensordatavalues": [{"value_type": "SDS_P1", "value": "4.1"}]}
    assert Site().observes(topic, record | values) == {expected: {"pm10": 4.1}}


# The reference pages

PAGES = ("zigbee2mqtt", "tasmota", "shelly-gen1", "shelly-gen2", "home-assistant", "homie", "sensor-community")
MESSAGE = re.compile(
    r"[Oo]n `(?P<topic>[^`]+)`(?:, retained)?:\n\n```(?:json|text)\n(?P<payload>.*?)\n```\n", re.DOTALL
)
ROW = re.compile(
    r"^\| (?P<thing>[^|]+) \| (?P<name>\w+) \| (?P<result>[-\d.]+) \| (?P<unit>\S+) \| (?P<time>\S+) \|$", re.MULTILINE
)


@pytest.mark.parametrize("page", PAGES)
def test_the_example_of_the_reference_page_is_what_happens(page: str) -> None:
    text = (Path(__file__).parents[2] / "docs/reference/formats" / f"{page}.md").read_text(encoding="utf-8")
    site = Site()
    *_, meant = (site.hears(found["topic"], found["payload"]) for found in MESSAGE.finditer(text))
    observed = {
        (thing.external_id, each.observed_property): (
            each.result,
            display(each.unit or ""),
            "receipt" if each.phenomenon_time is None else from_micros(each.phenomenon_time),
        )
        for thing in meant.things
        for each in thing.observations
    }
    told = {
        (row["thing"], row["name"]): (
            pytest.approx(float(row["result"])),
            row["unit"],
            row["time"] if row["time"] == "receipt" else datetime.fromisoformat(row["time"]),
        )
        for row in ROW.finditer(text)
    }
    assert told
    assert observed == told
