"""The messages of LoRaWAN network servers: what their examples do not show."""

import json
from contextlib import suppress
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders import NotMine, by_look, by_topic, decoders
from ingest.formats.lorawan import battery_percent, eui, gateway_time, server_time, tagged_position
from ingest.interpret import Interpreter
from ingest.mapping import DeviceBook
from ingest.message import Context, Decoded, Incoming, MessageOutcome, RawMessage, Reported
from pulso.errors import DecodeError, RejectReason
from pulso.model import from_micros

MEXICO = ZoneInfo("America/Mexico_City")
RECEIVED_AT = 1_795_370_400_000_000  # 2026-11-22T18:00:00Z
TTN_TOPIC = "v3/bins@city/devices/bin-1/up"
CHIRPSTACK_TOPIC = "application/7/device/0004a30b00aa0011/event/up"
TIME = "2026-11-22T17:59:58Z"


def incoming(topic: str, payload: object) -> Incoming:
    return Incoming(RawMessage(topic, json.dumps(payload).encode(), RECEIVED_AT))


def decode(name: str, topic: str, payload: object) -> Decoded:
    return decoders[name].decode(incoming(topic, payload), Context(MEXICO))


def ttn(**uplink: Any) -> Decoded:
    body = {"end_device_ids": {"device_id": "bin-1"}, "uplink_message": {"received_at": TIME} | uplink}
    return decode("ttn_v3", TTN_TOPIC, body)


def only(decoded: Decoded) -> Reported:
    (thing,) = decoded.things
    return thing


def told(thing: Reported) -> dict[str, float]:
    return {each.observed_property: each.result for each in thing.observations}


def time_of(thing: Reported) -> str | None:
    return None if thing.phenomenon_time is None else from_micros(thing.phenomenon_time).isoformat()


# The Things Stack


@pytest.mark.parametrize(
    "topic",
    [
        "v3/bins@city/devices/bin-1/up",
        "v3/bins/devices/bin-1/up",
        "v3/bins@city/devices/bin-1/up/normalized",
        "v3/bins@city/devices/bin-1/down/ack",
        "v3/bins@city/devices/bin-1/service/data",
        "v3/bins@city/devices/bin-1/location/solved",
    ],
)
def test_all_topics_of_an_application_are_known(topic: str) -> None:
    assert [entry.name for entry in by_topic(incoming(topic, {}))] == ["ttn_v3"]


def test_a_value_is_not_told_twice_by_decoded_and_normalized_payload() -> None:
    body = {
        "end_device_ids": {"device_id": "s-1"},
        "uplink_message": {
            "received_at": TIME,
            "decoded_payload": {"temperature": 21.49, "humidity": 40},
            "normalized_payload": [{"air": {"temperature": 21.5}}],
        },
    }
    message = RawMessage(TTN_TOPIC, json.dumps(body).encode(), RECEIVED_AT)
    (thing,) = Interpreter(DeviceBook.empty(), MEXICO).interpret(message).things

    assert told(thing) == {"temperature": 21.5, "humidity": 40}


def test_two_probes_at_one_time_are_two_channels() -> None:
    thing = only(ttn(normalized_payload=[{"air": {"temperature": 4.0}}, {"air": {"temperature": -18.5}}]))
    assert told(thing) == {"temperature": 4.0, "temperature_ch2": -18.5}


def test_neither_wind_nor_soil_become_traffic_or_air() -> None:
    decoded = ttn(
        frm_payload="AA==",
        normalized_payload=[{"soil": {"temperature": 12, "moisture": 30}, "wind": {"speed": 7}, "air": {"co2": None}}],
    )
    assert decoded.outcome is MessageOutcome.UNDECODED
    assert only(decoded).observations == []


def test_fields_of_the_cayenne_formatter_have_their_documented_units() -> None:
    thing = only(
        ttn(
            decoded_payload={
                "temperature_3": 27.2,
                "temperature_5": 25.5,
                "relative_humidity_1": 41,
                "barometric_pressure_0": 1017.5,
                "luminosity_2": 300,
                "gps_4": {"latitude": 19.4, "longitude": -99.1, "altitude": 2240},
            }
        )
    )
    assert told(thing) == {"temperature_ch3": 27.2, "temperature_ch5": 25.5, "humidity": 41, "pressure": 1017.5}
    assert thing.position == (19.4, -99.1)


def test_one_other_field_means_that_the_payload_is_not_of_the_cayenne_formatter() -> None:
    thing = only(ttn(decoded_payload={"temperature_3": 80.1, "unit": "°F"}))
    assert thing.observations == []
    assert thing.fields == {"temperature_3": 80.1, "unit": "°F"}


@pytest.mark.parametrize(
    ("locations", "expected"),
    [
        (
            {"user": {"latitude": 19.3, "longitude": -99.1}, "frm-payload": {"latitude": 1, "longitude": 2}},
            (19.3, -99.1),
        ),
        ({"lora-cloud-x": {"latitude": 3, "longitude": 4}, "frm-payload": {"latitude": 1, "longitude": 2}}, (1, 2)),
        ({"lora-cloud-x": {"latitude": 3, "longitude": 4}}, (3, 4)),
        ({"user": {"altitude": 3}}, None),
        ({"user": {"latitude": 0, "longitude": 0}}, None),
        ({"user": {"latitude": 91, "longitude": 0}}, None),
        ("user", None),
        (None, None),
    ],
)
def test_the_position_is_the_one_of_the_device(locations: object, expected: tuple[float, float] | None) -> None:
    gateways = [{"location": {"latitude": 50, "longitude": 8}}]
    assert only(ttn(decoded_payload={"a": 1}, locations=locations, rx_metadata=gateways)).position == expected


def test_the_battery_of_the_network_does_not_stand_beside_the_one_of_the_payload() -> None:
    status = {"value": 80.0, "received_at": "2026-11-20T00:00:00Z"}
    assert told(only(ttn(decoded_payload={"BatV": 3.6}, last_battery_percentage=status))) == {}
    assert told(only(ttn(decoded_payload={"level": 3}, last_battery_percentage=status))) == {"battery": 80.0}
    assert ttn(frm_payload="AA==", last_battery_percentage=status).outcome is MessageOutcome.UNDECODED


def test_without_a_time_of_the_uplink_the_time_of_the_application_server_counts() -> None:
    body = {
        "end_device_ids": {"device_id": "bin-1"},
        "received_at": "2026-11-22T17:59:59Z",
        "uplink_message": {"decoded_payload": {"a": 1}, "rx_metadata": [{"time": "2026-11-22T01:00:00Z"}]},
    }
    assert time_of(only(decode("ttn_v3", TTN_TOPIC, body))) == "2026-11-22T17:59:59+00:00"


@pytest.mark.parametrize("wrapper", ["result", "data"])
def test_stored_and_console_messages_are_unwrapped(wrapper: str) -> None:
    body = {wrapper: {"end_device_ids": {"device_id": "bin-1"}, "uplink_message": {"decoded_payload": {"a": 1}}}}
    assert [entry.name for entry in by_look(incoming("any/topic", body))] == ["ttn_v3"]
    assert only(decode("ttn_v3", "any/topic", body)).fields == {"a": 1}


@pytest.mark.parametrize("body", [[], 1, {"uplink_message": {}}, {"end_device_ids": {"device_id": 7}}])
def test_what_names_no_device_is_left_to_others(body: object) -> None:
    with pytest.raises(NotMine):
        decode("ttn_v3", TTN_TOPIC, body)


@pytest.mark.parametrize(
    "uplink", [{"decoded_payload": [1]}, {"normalized_payload": [1]}, {"normalized_payload": "x"}, {"received_at": 7}]
)
def test_an_envelope_of_another_shape_is_refused(uplink: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as caught:
        ttn(**uplink)
    assert caught.value.reason is RejectReason.WRONG_SHAPE


# ChirpStack


def v4(**event: Any) -> dict[str, Any]:
    return {"time": TIME, "deviceInfo": {"devEui": "0004a30b00aa0011", "deviceProfileName": "EM310"}} | event


def v3(**event: Any) -> dict[str, Any]:
    return {"applicationID": "7", "devEUI": "0004a30b00aa0011"} | event


@pytest.mark.parametrize(("name", "make"), [("chirpstack_v3", v3), ("chirpstack_v4", v4)])
def test_each_version_is_told_by_its_content(name: str, make: Any) -> None:
    body = make(object={"temperature": 20.5}, fPort=1, data="AA==")
    message = RawMessage(CHIRPSTACK_TOPIC, json.dumps(body).encode(), RECEIVED_AT)

    interpretation = Interpreter(DeviceBook.empty(), MEXICO).interpret(message)

    assert interpretation.decoder.startswith(name)
    assert told(interpretation.things[0]) == {"temperature": 20.5}
    assert [entry.name for entry in by_look(incoming("any/topic", body))] == [name]


@pytest.mark.parametrize(("name", "make"), [("chirpstack_v3", v3), ("chirpstack_v4", v4)])
@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        ({"data": "AA=="}, MessageOutcome.UNDECODED),
        ({"object": {"a": 1}}, None),
        ({"margin": 4, "batteryLevel": 50}, None),
        ({"location": {"latitude": 1, "longitude": 2}}, MessageOutcome.METADATA),
        ({"acknowledged": True}, MessageOutcome.IGNORE),
    ],
)
def test_on_other_topics_the_keys_tell_the_event(name: str, make: Any, event: Any, outcome: MessageOutcome) -> None:
    assert decode(name, "bridge/chirpstack", make(**event)).outcome is outcome


@pytest.mark.parametrize(("name", "make"), [("chirpstack_v3", v3), ("chirpstack_v4", v4)])
@pytest.mark.parametrize("kind", ["join", "ack", "txack", "log", "error", "integration", "unheard-of"])
def test_events_without_a_measurement_are_ignored(name: str, make: Any, kind: str) -> None:
    decoded = decode(name, f"application/7/device/0004a30b00aa0011/event/{kind}", make(object={"temperature": 3}))
    assert decoded.outcome is MessageOutcome.IGNORE
    assert only(decoded).external_id == "0004a30b00aa0011"


@pytest.mark.parametrize("level", [-1, 255, 254.5, None, "", "full", True])
def test_a_battery_level_that_is_none_is_not_stored(level: object) -> None:
    topic = "application/7/device/0004a30b00aa0011/event/status"
    for name, body in (("chirpstack_v3", v3(batteryLevel=level)), ("chirpstack_v4", v4(batteryLevel=level))):
        decoded = decode(name, topic, body)
        assert decoded.outcome is MessageOutcome.IGNORE
        assert only(decoded).observations == []


def test_a_gateway_position_is_never_the_one_of_the_device() -> None:
    gateways = [{"location": {"latitude": 50, "longitude": 8}}]
    for name, body in (("chirpstack_v3", v3(rxInfo=gateways, data="AA==")), ("chirpstack_v4", v4(rxInfo=gateways))):
        assert only(decode(name, CHIRPSTACK_TOPIC, body)).position is None


# Others


def test_a_frequency_of_the_radio_link_is_no_field() -> None:
    document = {"DevEUI": "A1", "payload_hex": "00", "payload": {"Frequency": 868.1, "voltage": 231.2}}
    assert only(decode("thingpark", "t", {"DevEUI_uplink": document})).fields == {"voltage": 231.2}


def test_the_older_document_of_thingpark_has_no_wrapper() -> None:
    document = {"DevEUI": "A1", "Lrcid": "0127", "payload_hex": "00", "payload": {"temperature": 20}}
    assert [entry.name for entry in by_look(incoming("t", document))] == ["thingpark"]
    assert only(decode("thingpark", "t", document)).fields == {"temperature": 20}


def test_helium_sent_seconds_before_it_sent_milliseconds() -> None:
    body = {"dev_eui": "1C29", "hotspots": [], "payload": "AA=="}
    seconds = decode("helium", "t", body | {"reported_at": 1_795_370_398})
    milliseconds = decode("helium", "t", body | {"reported_at": 1_795_370_398_000})
    assert time_of(only(seconds)) == time_of(only(milliseconds)) == "2026-11-22T17:59:58+00:00"


# Helpers


def test_a_time_that_is_not_set_is_no_time() -> None:
    assert server_time(None, MEXICO) is None
    assert server_time("", MEXICO) is None
    assert server_time("0001-01-01T00:00:00Z", MEXICO) is None
    with pytest.raises(DecodeError):
        server_time(1_795_370_398, MEXICO)


def test_one_gateway_with_a_wrong_clock_does_not_set_the_time() -> None:
    times = ["2026-11-22T17:59:58Z", "2031-01-01T00:00:00Z", "2026-11-22T17:59:58.1Z", "1970-01-01T00:00:09Z", None, 7]
    assert gateway_time(times, MEXICO) == gateway_time(["2026-11-22T17:59:58.1Z"], MEXICO)
    assert gateway_time([], MEXICO) is None


def test_a_device_id_in_base64_becomes_hexadecimal() -> None:
    assert eui("AASjCwCqABE=") == "0004a30b00aa0011"
    assert eui("0004A30B00AA0011") == "0004A30B00AA0011"
    assert eui("not an EUI =") == "not an EUI ="


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"latitude": "19.4", "longitude": "-99.1"}, (19.4, -99.1)),
        ({"Lat": 19.4, "LNG": -99.1}, (19.4, -99.1)),
        ({"lat": "19.4"}, None),
        ({"latitude": "north", "longitude": "west"}, None),
        ([], None),
    ],
)
def test_positions_in_tags(tags: object, expected: tuple[float, float] | None) -> None:
    assert tagged_position(tags) == expected


def test_battery_levels() -> None:
    assert [battery_percent(level) for level in (0, 88.3, 100, "75")] == [0, 88.3, 100, 75]
    assert {battery_percent(level) for level in (-1, 100.1, 255, None, "n/a", False)} == {None}


NAMES = (
    "ttn_v3",
    "ttn_v2",
    "chirpstack_v3",
    "chirpstack_v4",
    "loriot",
    "thingpark",
    "helium",
    "aws_iot_lorawan",
    "lorawan_servers",
)
TOPICS = (
    TTN_TOPIC,
    "v3/bins/devices/bin-1/down/push",
    CHIRPSTACK_TOPIC,
    "application/7/device/0004a30b00aa0011/event/status",
    "application/7/device/0004a30b00aa0011/event/location",
    "application/7/device/0004a30b00aa0011/rx",
    "v3",
    "",
)


def keys_of(value: object) -> set[str]:
    """The keys that occur in nested values."""
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    return set(value).union(*map(keys_of, value.values())) if isinstance(value, dict) else set()


EXAMPLES = [
    example["payload"]
    for name in NAMES
    for example in json.loads((files("ingest.decoders") / f"{name}.examples.json").read_text(encoding="utf-8"))
    if "payload" in example
]
KEYS = st.sampled_from(sorted(keys_of(EXAMPLES)))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["rx", "{}", "[", "AA==", "AASjCwCqABE=", TIME, "9999-12-31T23:59:59-23:59"])
)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6))


@given(name=st.sampled_from(NAMES), topic=st.sampled_from(TOPICS), tree=TREES)
def test_any_json_is_decoded_or_refused(name: str, topic: str, tree: Any) -> None:
    with suppress(DecodeError, NotMine):
        decode(name, topic, tree)


@given(
    name=st.sampled_from(NAMES),
    topic=st.sampled_from(TOPICS),
    ids=st.dictionaries(KEYS, TREES, max_size=4),
    up=st.dictionaries(KEYS, TREES, max_size=6),
)
def test_any_uplink_is_decoded_or_refused(name: str, topic: str, ids: dict[str, Any], up: dict[str, Any]) -> None:
    device = {
        "end_device_ids": {"device_id": "a"},
        "uplink_message": up,
        "deviceInfo": {"devEui": "a"} | ids,
        "dev_id": "a",
        "EUI": "a",
        "cmd": "rx",
        "DevEUI_uplink": {"DevEUI": "a"} | up,
        "dev_eui": "a",
        "WirelessMetadata": {"LoRaWAN": {"DevEui": "a"} | up},
    }
    if name == "chirpstack_v3":
        device = {"devEUI": "a", "applicationID": "1"}
    with suppress(DecodeError, NotMine):
        decode(name, topic, up | device)


@pytest.mark.parametrize(
    ("level", "expected"),
    [(3.05, {"battery_voltage": 3.05}), (3, {"battery_voltage": 3}), (12.4, {"battery_voltage": 12.4}),
     (80, {"battery": 80}), (100, {"battery": 100}), (24, {}), (3050, {})],
)  # fmt: skip
def test_a_normalized_battery_that_can_be_no_voltage_is_none(level: float, expected: dict[str, float]) -> None:
    decoded = ttn(normalized_payload=[{"battery": level}, {"air": {"temperature": 20}}], frm_payload="AQ==")
    assert told(only(decoded)) == {"temperature": 20} | expected


def test_channels_of_other_kinds_stand_beside_those_of_cayenne() -> None:
    decoded = ttn(decoded_payload={"temperature_1": 20.5, "humidity_2": 50, "voc_16": 120, "voltage_3": 3.3})
    assert told(only(decoded)) == {"temperature": 20.5, "humidity": 50}


def test_a_gateways_own_values_in_a_like_envelope_are_not_ignored() -> None:
    body = {"applicationID": "1", "devEUI": "be7a0000000000c2", "deviceName": "x", "temperature": 20.5}
    with pytest.raises(NotMine):
        decode("chirpstack_v3", "gateway/up", body)


def test_a_server_is_known_by_the_only_uplink_of_a_list() -> None:
    uplink = {"devEui": "be7a0000000000c3", "gatewayIdentifier": "1", "fPort": "2", "timestamp": TIME, "payload": "0a"}
    assert decode("lorawan_servers", "x", [uplink]).outcome is MessageOutcome.UNDECODED
    with pytest.raises(DecodeError):
        decode("lorawan_servers", "x", [uplink, uplink])
