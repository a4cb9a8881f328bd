"""Decoders of context brokers, meters and Sparkplug B, beyond the examples beside them."""

import json
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders import NotMine, by_look, decoders
from ingest.decoders._sparkplug_payload import (
    MOST_METRICS,
    Metric,
    _Payload,
    _Template,
    number_of,
    parse,
    rebirth_command,
)
from ingest.decoders._sparkplug_sequence import Sequences
from ingest.decoders.dsmr import checksum
from ingest.decoders.ngsi import external_id
from ingest.decoders.sparkplug_b import NeedsBirth
from ingest.formats.moments import interval_end, iso_datetime, iso_moment
from ingest.formats.ngsi_entity import entity, raw_entities
from ingest.formats.positions import geojson_point
from ingest.interpret import Interpreter, NotUnderstood
from ingest.mapping import DeviceBook
from ingest.message import Context, Decoded, DecodedObservation, Incoming, MessageOutcome, RawMessage
from pulso.errors import DecodeError, RejectReason
from pulso.model import from_micros, to_micros

MEXICO = ZoneInfo("America/Mexico_City")
NOW = to_micros(datetime.fromisoformat("2026-11-22T18:00:00Z"))
MINUTE = 60_000_000
TOPICS = {
    "fiware_ultralight": ["/ul/k/d/attrs", "/ul/k/d/attrs/t", "/k/d/attrs", "/ul/k/d/cmd", "claimed/by/a/city"],
    "fiware_json": ["/json/k/d/attrs", "/json/k/d/attrs/t", "/k/d/attrs", "claimed"],
    "ngsi": ["any/topic"],
    "sensorthings": ["v1.1/Datastreams(1)/Observations", "v1.1/Things(1)", "v1.0/CreateObservations", "any", "v1.1"],
    "dsmr": ["dsmr/raw"],
    "glow": ["glow/AA/SENSOR/electricitymeter", "glow/AA/STATE", "claimed"],
    "dsmr_reader": ["dsmr/json", "dsmr/reading/electricity_delivered_1", "dsmr/reading/phase_currently_returned_l1"],
    "homewizard": ["home/p1"],
    "wmbusmeters": ["wmbusmeters/1"],
    "sparkplug_b": [
        *(f"spBv1.0/g/{kind}/n" for kind in ("NBIRTH", "NDATA", "NDEATH", "NCMD")),
        *(f"spBv1.0/g/{kind}/n/d" for kind in ("DBIRTH", "DDATA", "DDEATH", "DCMD")),
        "spBv1.0",
        "spBv1.0/STATE/h",
        "STATE/h",
    ],
}


def incoming(topic: str, payload: object, *, at: int = NOW) -> Incoming:
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Incoming(RawMessage(topic, content, at))


def decode(name: str, topic: str, payload: object, memory: dict[str, object] | None = None, at: int = NOW) -> Decoded:
    return decoders[name].decode(incoming(topic, payload, at=at), Context(MEXICO, memory or {}))


def observed(decoded: Decoded) -> dict[str, float]:
    return {each.observed_property: each.result for thing in decoded.things for each in thing.observations}


def times(decoded: Decoded) -> set[datetime | None]:
    return {
        None if each.phenomenon_time is None else from_micros(each.phenomenon_time)
        for thing in decoded.things
        for each in thing.observations
    }


# --- any bytes ---------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        *("id", "type", "value", "metadata", "unitCode", "observedAt", "data", "subscriptionId", "location", "values"),
        *("coordinates", "datasetId", "fillingLevel", "intensity", "vehicleType", "laneId", "dateObserved", "status"),
        *("TimeInstant", "activePower", "L1", "controlledProperty", "numValue", "@iot.id", "result", "phenomenonTime"),
        *("Datastream", "Thing", "unitOfMeasurement", "ObservedProperty", "components", "dataArray", "Locations"),
        *("electricitymeter", "energy", "import", "cumulative", "units", "power", "timestamp", "media", "meter"),
        *("electricity_delivered_1", "phase_currently_delivered_l1", "active_power_w", "voltage_at_phase_1_v"),
    ]
)
TEXTS = st.sampled_from(
    [
        *("Property", "GeoProperty", "Point", "Feature", "TrafficFlowObserved", "ParkingSpot", "WasteContainer"),
        *("2026-11-22T18:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1/2"),
        *("free", "NaN", "kWh", "K", "\ud800"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=6), inner, max_size=6),
    max_leaves=25,
)
ULTRALIGHT = st.text(alphabet="ab|#.-0123456789TZ: ", max_size=60).map(str.encode)
TELEGRAM = st.lists(
    st.sampled_from(
        ["0-0:1.0.0(", "1-0:1.8.1(", "1-0:2.7.0(", "12.5*kW)", "261122185500W)", "*kWh)", ")", "!", "9" * 70]
    )
).map(lambda parts: ("/X\r\n\r\n" + "\r\n".join(parts) + "\r\n!\r\n").encode())


@pytest.mark.parametrize("name", TOPICS)
@given(data=st.data())
def test_anything_decodes_or_is_refused(name: str, data: st.DataObject) -> None:
    topic = data.draw(st.sampled_from(TOPICS[name]) | st.text(min_size=1, max_size=30))
    as_bytes = JSON.map(lambda value: json.dumps(value).encode())
    payload = data.draw(st.binary(max_size=300) | as_bytes | ULTRALIGHT | TELEGRAM)
    message = incoming(topic, payload)
    memory = data.draw(
        st.dictionaries(st.sampled_from(["ngsi:x", "sparkplug_b:g/n", "sensorthings:Datastream(1)"]), JSON)
    )
    list(by_look(message))  # whoever is asked says yes or no
    try:
        decoded = decoders[name].decode(message, Context(MEXICO, memory))
    except (DecodeError, NotMine):
        return
    json.dumps(dict(decoded.learned))
    for thing in decoded.things:
        assert thing.external_id
        assert all(isinstance(each.result, float) for each in thing.observations)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 22), st.binary(max_size=12)), max_size=8))
def test_any_metrics_of_a_birth_decode_or_are_refused(metrics: list[tuple[int, int, bytes]]) -> None:
    payload = _Payload(timestamp=1)
    for number, datatype, name in metrics:
        payload.metrics.add(name=name, alias=number, datatype=datatype, timestamp=number, long_value=number)
    for kind in ("NBIRTH", "NDATA"):
        with suppress(DecodeError):
            decode("sparkplug_b", f"spBv1.0/g/{kind}/n", payload.SerializeToString())


# --- times and places --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T12:00:00", "2026-11-22T18:00:00+00:00"),  # the site's clock
        ("2026-11-22T12:00:00+05:30", "2026-11-22T06:30:00+00:00"),
        ("2026-11-22 12:00:00.123456789Z", "2026-11-22T12:00:00.123456+00:00"),
        ("20261122T120000Z", "2026-11-22T12:00:00+00:00"),
        ("2026-11-22", None),
        ("261122120000", None),
        ("2026-13-22T12:00:00Z", None),
        (1790000000, None),
    ],
)
def test_iso_moment(text: object, expected: str | None) -> None:
    micros = iso_moment(text, MEXICO)

    assert (None if micros is None else from_micros(micros).isoformat()) == expected


def test_an_interval_counts_at_its_end() -> None:
    assert interval_end("2026-11-22T17:00:00Z/2026-11-22T18:00:00Z", MEXICO) == NOW


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_not(text: str) -> None:
    moment = iso_datetime(text)
    assert moment is None or iso_moment(text, MEXICO) is not None


@pytest.mark.parametrize(
    "value",
    [
        {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
        {"type": "Point", "coordinates": [-99.1]},
        {"type": "Point", "coordinates": [200, 19]},
        {"type": "Point", "coordinates": [0, 0]},
        {"type": "Point", "coordinates": "99"},
        "19.4,-99.1",
    ],
)
def test_what_is_no_point_on_earth_tells_no_position(value: object) -> None:
    assert geojson_point(value) is None


# --- NGSI --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Madrid-AmbientObserved-28079004-2016-03-15T11:00:00", "Madrid-AmbientObserved-28079004"),
        ("urn:ngsi-ld:NoisePollution:Nice_2022-07-01T18:00:00_2022-07-01T20:00:00", "urn:ngsi-ld:NoisePollution:Nice"),
        ("Spain-WeatherObserved-Valladolid-2016-11-30T07:00:00.00Z", "Spain-WeatherObserved-Valladolid"),
        ("station-20161130T0700Z", "station"),
        ("bin-2016-11-30", "bin-2016-11-30"),
        ("2016-11-30T07:00:00Z", "2016-11-30T07:00:00Z"),
        ("urn:ngsi-ld:Device:4012001-22", "urn:ngsi-ld:Device:4012001-22"),
    ],
)
def test_thing_id_holds_no_time_of_a_sample(told: str, expected: str) -> None:
    assert external_id(entity({"id": told, "type": "X"})) == expected


def test_a_reference_is_better_than_a_trimmed_id() -> None:
    raw = {
        "id": "W-2016-11-30T07:00:00Z",
        "type": "WeatherObserved",
        "refDevice": ["dev-3"],
        "refPointOfInterest": "poi",
    }

    assert external_id(entity(raw)) == "dev-3"


@pytest.mark.parametrize(
    "attribute",
    [
        {"type": "Property", "value": 21.5, "unitCode": "CEL", "observedAt": "2026-11-22T18:00:00Z"},
        {
            "value": 21.5,
            "unitCode": {"type": "Property", "value": "CEL"},
            "observedAt": {"@value": "2026-11-22T18:00:00Z"},
        },
        {
            "type": "Number",
            "value": "21.5",
            "metadata": {"TimeInstant": {"type": "DateTime", "value": "2026-11-22T18:00:00Z"}},
        },
        {"type": "Property", "values": [[21.5, "2026-11-22T18:00:00Z"]]},
    ],
)
def test_every_notation_of_an_attribute_says_the_same(attribute: dict[str, Any]) -> None:
    raw = {"id": "urn:ngsi-ld:WeatherObserved:1", "type": ["Other", "WeatherObserved"], "temperature": attribute}

    (thing,) = decode("ngsi", "x", raw).things

    assert thing.observations == [DecodedObservation("temperature", 21.5, thing.observations[0].unit, NOW)]


def test_a_time_without_a_zone_has_that_of_its_sibling() -> None:
    raw = {
        "id": "t",
        "type": "TrafficFlowObserved",
        "intensity": 3,
        "dateObserved": "2026-11-22T18:00:00",
        "dateObservedFrom": "2026-11-22T17:55:00Z",
    }

    assert times(decode("ngsi", "x", raw)) == {from_micros(NOW)}


@pytest.mark.parametrize("name", ["dateModified", "dateCreated", "dateLastEmptying", "dateEnergyMeteringStarted"])
def test_dates_that_are_not_the_sample_time_are_not_taken_for_it(name: str) -> None:
    raw = {"id": "w", "type": "WasteContainer", "fillingLevel": 0.5, name: "2020-01-01T00:00:00Z"}

    assert times(decode("ngsi", "x", raw)) == {None}


@pytest.mark.parametrize(
    ("value", "expected"), [(0, 0), (0.4, 40), (1, 100), (1.02, 102), (54, 54), (-1, None), (None, None), ("", None)]
)
def test_shares_become_percentages(value: object, expected: float | None) -> None:
    raw = {"id": "a", "type": "WeatherObserved", "relativeHumidity": value}

    assert observed(decode("ngsi", "x", raw)).get("humidity") == expected


def test_a_stated_percentage_is_not_a_fraction() -> None:
    raw = {"id": "a", "type": "WasteContainer", "fillingLevel": {"type": "Property", "value": 1, "unitCode": "P1"}}

    assert observed(decode("ngsi", "x", raw)) == {"fill_level": 1}


def test_an_attribute_beyond_the_model_counts_where_its_unit_is_stated() -> None:
    stated = {"type": "Property", "value": 3.6, "unitCode": "VLT"}
    raw = {"id": "a", "type": "WasteContainer", "batteryVoltage": stated, "windSpeed": 3}

    assert observed(decode("ngsi", "x", raw)) == {"battery_voltage": 3.6}


def test_boats_are_no_vehicles() -> None:
    raw = {
        "id": "h",
        "type": "ItemFlowObserved",
        "itemType": "yacht",
        "intensity": 12,
        "averageSpeed": 3,
        "occupancy": 0.1,
    }

    assert observed(decode("ngsi", "x", raw)) == {}


def test_walkers_are_counted_and_their_pace_is_no_speed_of_traffic() -> None:
    raw = {"id": "h", "type": "ItemFlowObserved", "itemType": "pedestrian", "intensity": 12, "averageSpeed": 4}

    assert observed(decode("ngsi", "x", raw)) == {"pedestrian_count": 12}


def test_a_plate_never_leaves_the_decoder() -> None:
    raw = {"id": "urn:ngsi-ld:TrafficViolation:1", "type": "TrafficViolation", "licensePlate": "ABC-123", "speed": 90}
    decoded = decode("ngsi", "x", [raw, {**raw, "type": "Vehicle", "id": "vehicle:ABC-123"}])

    assert decoded.things == ()
    assert "ABC" not in decoded.reason


@pytest.mark.parametrize(
    "body",
    [
        {"id": "abc", "type": "Device", "temperature": 3},
        {"id": 7, "type": "TrafficFlowObserved", "intensity": 3},
        {"type": "TrafficFlowObserved", "intensity": 3},
        {"id": "x", "type": "temperature", "value": 3},
        {"data": [1, 2]},
        [],
        [1],
        "id type",
    ],
)
def test_other_json_is_not_taken_for_ngsi(body: object) -> None:
    assert "ngsi" not in {each.name for each in by_look(incoming("x", body))}


def test_more_entities_than_anyone_sends_are_refused() -> None:
    with pytest.raises(DecodeError) as caught:
        raw_entities([{"id": "a", "type": "b"}] * 2_001)

    assert caught.value.reason is RejectReason.TOO_MANY_PROPERTIES


# --- FIWARE IoT agents -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b'{"temperature": 3}', b"3", b"hello", b"\xff", b'["a|b"]'])
def test_old_ultralight_topic_with_another_look_is_left_to_others(payload: bytes) -> None:
    with pytest.raises(NotMine):
        decode("fiware_ultralight", "/key/dev/attrs", payload)


@pytest.mark.parametrize("payload", [b"temperature|3", b"[]", b"3"])
def test_old_json_topic_with_another_look_is_left_to_others(payload: bytes) -> None:
    with pytest.raises(NotMine):
        decode("fiware_json", "/key/dev/attrs", payload)


def test_a_batch_of_entities_is_left_to_ngsi() -> None:
    batch = {"actionType": "append", "entities": [{"id": "urn:ngsi-ld:Gate:2", "type": "Gate"}]}

    with pytest.raises(NotMine):
        decode("fiware_json", "/json/key/dev/attrs", batch)


def test_a_topic_claimed_by_a_city_names_the_device_last() -> None:
    (thing,) = decode("fiware_ultralight", "north/plant/dev-3", b"t|4").things

    assert (thing.external_id, thing.fields) == ("dev-3", {"t": 4.0})


# --- DSMR --------------------------------------------------------------------------------------------------------


def test_checksum_is_crc_16_of_arc() -> None:
    assert checksum(b"123456789") == 0xBB3D  # the check value of CRC-16/ARC


def telegram(*lines: str) -> bytes:
    body = "\r\n".join(["/XYZ5-1", "", *lines, "!"]).encode()
    return body + f"{checksum(body):04X}\r\n".encode()


def test_power_is_what_is_drawn_less_what_is_fed_in() -> None:
    payload = telegram("1-0:1.7.0(00.300*kW)", "1-0:2.7.0(00.100*kW)", "1-0:62.7.0(00.100*kW)")

    assert observed(decode("dsmr", "x", payload)) == {"power": 200.0, "power_l3": -100.0}


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_bent_byte_is_noticed(place: int, flip: int) -> None:
    """A CRC finds any change within sixteen bits. The end of the telegram itself is left whole."""
    payload = bytearray(telegram("0-0:96.1.1(4530)", "1-0:1.8.1(001234.567*kWh)", "1-0:1.7.0(00.300*kW)"))
    inner = len(payload) - len(b"!0000\r\n") - 2
    payload[1 + place % (inner - 1)] ^= flip
    with pytest.raises(DecodeError) as caught:
        decode("dsmr", "x", bytes(payload))

    assert caught.value.reason is RejectReason.MALFORMED


def test_the_hour_of_changing_clocks_is_told_by_the_letter() -> None:
    summer = decode("dsmr", "x", telegram("0-0:1.0.0(261025023000S)", "1-0:1.7.0(00.300*kW)"))
    winter = decode("dsmr", "x", telegram("0-0:1.0.0(261025023000W)", "1-0:1.7.0(00.300*kW)"))

    assert times(summer) == {datetime.fromisoformat("2026-10-25T00:30:00Z")}
    assert times(winter) == {datetime.fromisoformat("2026-10-25T01:30:00Z")}


def test_a_telegram_of_a_megabyte_is_refused_at_once() -> None:
    with pytest.raises(DecodeError) as caught:
        decode("dsmr", "x", b"/X\r\n\r\n" + b"1-0:1.8.1(1*kWh)\r\n" * 50_000 + b"!\r\n")

    assert caught.value.reason is RejectReason.TOO_LARGE


# --- Sparkplug B -------------------------------------------------------------------------------------------------


def payload(*metrics: dict[str, object], seq: int | None = None) -> bytes:
    message = _Payload(timestamp=NOW // 1000)
    if seq is not None:
        message.seq = seq
    for metric in metrics:
        message.metrics.add(**metric)
    return bytes(message.SerializeToString())


@pytest.mark.parametrize(
    ("wire", "datatype", "expected"),
    [
        (0xFF, 1, -1),
        (0xFFFFFFFF, 1, -1),
        (0x80, 1, -128),
        (0x7F, 1, 127),
        (0xFFFF, 2, -1),
        (0xFFFFFFFE, 3, -2),
        (0xFFFFFFFFFFFFFFFE, 4, -2),
        (0xFF, 5, 255),
        (0xFFFFFFFF, 7, 4294967295),
        (2.5, 10, 2.5),
        (True, 11, 1),
        (7, 13, None),  # DateTime
        ("7", 12, None),
    ],
)
def test_numbers_on_the_wire(wire: float | str, datatype: int, expected: float | None) -> None:
    assert number_of(wire, datatype) == expected


def test_rebirth_command_has_no_sequence_number() -> None:
    command = parse(rebirth_command(1_790_000_000_000))

    assert command.seq is None
    assert command.timestamp == 1_790_000_000_000
    assert command.metrics == (Metric("Node Control/Rebirth", None, 1_790_000_000_000, 11, False, None, True),)


def test_data_are_understood_by_what_their_birth_taught() -> None:
    birth = payload({"name": b"Air/Temperature", "alias": 4, "datatype": 3, "int_value": 20}, seq=0)
    learned = dict(decode("sparkplug_b", "spBv1.0/g/DBIRTH/n1/d", birth).learned)

    decoded = decode(
        "sparkplug_b", "spBv1.0/g/DDATA/n1/d", payload({"alias": 4, "int_value": 2**32 - 3}, seq=1), learned
    )

    assert observed(decoded) == {"temperature": -3}
    assert decoded.requests == ()


def test_an_alias_of_the_node_serves_its_devices() -> None:
    birth = payload({"name": b"Temperature", "alias": 4, "datatype": 9, "float_value": 20.0}, seq=0)
    learned = dict(decode("sparkplug_b", "spBv1.0/g/NBIRTH/n2", birth).learned)
    learned |= dict(decode("sparkplug_b", "spBv1.0/g/DBIRTH/n2/d", payload(seq=1)).learned)

    decoded = decode("sparkplug_b", "spBv1.0/g/DDATA/n2/d", payload({"alias": 4, "float_value": 21.0}, seq=2), learned)

    assert observed(decoded) == {"temperature": 21}


def test_a_missing_birth_is_asked_for_once_a_minute_at_most() -> None:
    data = payload({"alias": 4, "int_value": 20}, seq=5)
    asked = []
    for at in (NOW, NOW + MINUTE // 2, NOW + MINUTE, NOW + 2 * MINUTE, NOW + 3 * MINUTE):
        with pytest.raises(NeedsBirth) as caught:
            decode("sparkplug_b", "spBv1.0/g/NDATA/n3", data, at=at)
        assert caught.value.reason is RejectReason.NO_BIRTH
        asked.append([each.topic for each in caught.value.requests])

    assert asked == [["spBv1.0/g/NCMD/n3"], [], ["spBv1.0/g/NCMD/n3"], [], ["spBv1.0/g/NCMD/n3"]]


def test_a_gap_loses_nothing_that_came_and_asks_for_a_rebirth() -> None:
    birth = payload({"name": b"Temperature", "alias": 4, "datatype": 9, "float_value": 20.0}, seq=0)
    learned = dict(decode("sparkplug_b", "spBv1.0/g/NBIRTH/n4", birth).learned)

    decoded = decode("sparkplug_b", "spBv1.0/g/NDATA/n4", payload({"alias": 4, "float_value": 21.0}, seq=3), learned)

    assert observed(decoded) == {"temperature": 21}
    assert [each.topic for each in decoded.requests] == ["spBv1.0/g/NCMD/n4"]


def test_a_birth_that_measures_nothing_we_know_still_teaches() -> None:
    birth = payload({"name": b"Tank/Xyz", "alias": 4, "datatype": 9, "float_value": 20.0}, seq=0)

    decoded = decode("sparkplug_b", "spBv1.0/g/NBIRTH/n5", birth)

    assert decoded.outcome == "metadata"
    assert [thing.fields for thing in decoded.things] == [None]
    assert decoded.learned["sparkplug_b:g/n5"]


def test_an_integer_whose_sign_only_the_birth_tells_needs_it() -> None:
    with pytest.raises(NeedsBirth):
        decode("sparkplug_b", "spBv1.0/g/NDATA/n6", payload({"name": b"Temperature", "int_value": 2**32 - 3}))


def test_values_that_are_no_numbers_are_no_readings() -> None:
    metrics: list[dict[str, object]] = [
        {"name": b"Temperature", "datatype": 9, "float_value": float("nan")},
        {"name": b"Humidity", "datatype": 16, "dataset_value": b""},
        {"name": b"CO2", "datatype": 12, "string_value": b"400"},
        {"name": b"PM10", "datatype": 13, "long_value": 1_790_000_000_000},
        {"name": b"NO2", "datatype": 9, "is_null": True},
        {"name": b"Node Control/Reboot", "datatype": 11, "boolean_value": True},
    ]
    decoded = decode("sparkplug_b", "spBv1.0/g/NDATA/n7", payload(*metrics))

    assert decoded.outcome == "ignore"
    assert observed(decoded) == {}


def test_a_flood_of_metrics_is_refused() -> None:
    with pytest.raises(DecodeError) as caught:
        parse(b"\x12\x00" * (MOST_METRICS + 1))

    assert caught.value.reason is RejectReason.TOO_MANY_PROPERTIES


def template(*metrics: dict[str, object]) -> bytes:
    message = _Template()
    for metric in metrics:
        message.metrics.add(**metric)
    return bytes(message.SerializeToString())


def test_templates_within_templates_end() -> None:
    inner = template({"name": b"Temperature", "datatype": 9, "float_value": 20.0})
    for _ in range(50):
        inner = template({"name": b"x", "template_value": inner})
    birth = payload({"name": b"Deep", "template_value": inner}, seq=0)

    decoded = decode("sparkplug_b", "spBv1.0/g/NBIRTH/n8", birth)

    assert decoded.outcome == "metadata"
    assert observed(decoded) == {}


def test_metrics_of_templates_count_as_metrics() -> None:
    full = template(*[{"name": b"x"}] * (MOST_METRICS // 2))

    with pytest.raises(DecodeError) as caught:
        parse(payload({"template_value": full}, {"template_value": full}))

    assert caught.value.reason is RejectReason.TOO_MANY_PROPERTIES


def test_a_bent_template_is_malformed() -> None:
    with pytest.raises(DecodeError) as caught:
        parse(payload({"name": b"x", "template_value": b"\xff"}))

    assert caught.value.reason is RejectReason.MALFORMED


def test_sequence_runs_from_0_to_255_and_again() -> None:
    sequences = Sequences()
    sequences.begin("g/n", 0)

    assert all(sequences.follows("g/n", number % 256) for number in range(1, 600))
    assert sequences.follows("g/n", 599 % 256)  # delivered again
    assert not sequences.follows("g/n", (599 + 2) % 256)
    assert sequences.follows("g/n", (599 + 3) % 256)


@given(st.lists(st.integers(0, 3600), min_size=2, max_size=60))
def test_a_node_is_never_asked_twice_within_a_minute(waits: list[int]) -> None:
    sequences = Sequences()
    asked: list[int] = []
    at = NOW
    for seconds in waits:
        at += seconds * 1_000_000
        if sequences.may_ask("g/n", at):
            asked.append(at)

    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert all(gap >= MINUTE << index for index, gap in enumerate(gaps))


def test_states_that_mean_nothing_to_us_are_no_fault() -> None:
    data = payload({"name": b"Inputs/A", "datatype": 11, "boolean_value": True}, seq=1)
    meant = Interpreter(DeviceBook.empty(), ZoneInfo("UTC")).interpret(RawMessage("spBv1.0/g/DDATA/n10/d", data, 0))
    assert meant.outcome is MessageOutcome.IGNORE
    assert meant.reason


def test_data_without_a_birth_is_kept_under_its_node() -> None:
    data = payload({"alias": 7, "float_value": 1.5}, seq=3)
    with pytest.raises(NotUnderstood) as refused:
        Interpreter(DeviceBook.empty(), ZoneInfo("UTC")).interpret(RawMessage("spBv1.0/g/NDATA/n9", data, 0))
    assert refused.value.external_id == "g/n9"
    assert refused.value.requests
