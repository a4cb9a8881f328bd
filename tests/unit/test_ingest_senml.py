"""SenML packs: names, times, units and bounds beyond the examples."""

import json
from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders import NotMine, by_content_type, by_look, decoders
from ingest.formats.lwm2m import parse
from ingest.formats.senml_records import is_pack, resolve
from ingest.message import Context, Decoded, Incoming, MessageOutcome, RawMessage
from pulso.errors import DecodeError, RejectReason

RECEIVED_AT = 1_795_370_400_000_000  # 2026-11-22T18:00:00Z
SECOND = 1_000_000


def incoming(payload: bytes, content_type: str | None = None) -> Incoming:
    return Incoming(RawMessage("city/senml", payload, RECEIVED_AT, content_type=content_type))


def decode(pack: object) -> Decoded:
    return decoders["senml"].decode(incoming(json.dumps(pack).encode()), Context(ZoneInfo("America/Mexico_City")))


def told(pack: object) -> dict[str, dict[str, float]]:
    return {
        thing.external_id: {each.observed_property: each.result for each in thing.observations}
        for thing in decode(pack).things
    }


def test_a_position_beside_what_nobody_understands_does_not_hide_it() -> None:
    place = [{"bn": "bin-7:", "n": "latitude", "u": "lat", "v": 19.3}, {"n": "longitude", "u": "lon", "v": -99.1}]
    assert decode(place).outcome is MessageOutcome.METADATA
    assert refused([*place, {"n": "brightness", "u": "/", "v": 0.5}]) is RejectReason.UNMAPPED


def refused(pack: object) -> RejectReason:
    with pytest.raises(DecodeError) as caught:
        decode(pack)
    return caught.value.reason


@pytest.mark.parametrize(
    ("base", "own", "thing", "observed_property"),
    [
        ("urn:dev:ow:10e2073a0a0b0c0d:", "temperature", "urn:dev:ow:10e2073a0a0b0c0d", "temperature"),
        ("urn:dev:ow:10e2073a0a0b0c0d", "", "urn:dev:ow:10e2073a0a0b0c0d", "temperature"),
        ("urn:dev:ow:10e2073a0a", "0b0c0d", "urn:dev:ow:10e2073a0a0b0c0d", "temperature"),
        ("urn:dev:mac:0024befffe804ff1/", "air/temperature", "urn:dev:mac:0024befffe804ff1", "temperature"),
        ("urn:dev:mac:0024befffe804ff1_", "temperature", "urn:dev:mac:0024befffe804ff1", "temperature"),
        ("urn:dev:org:32473-", "foo:temperature", "urn:dev:org:32473-foo", "temperature"),
        ("urn:dev:ow:10e2073a0a0b0c0d/", "t1", "urn:dev:ow:10e2073a0a0b0c0d", "temperature_t1"),
        ("urn:imei:490154203237518:", "temperature", "urn:imei:490154203237518", "temperature"),
        ("urn:dev:DEVEUI:BE7A0000000000C2:", "temperature", "urn:dev:DEVEUI:BE7A0000000000C2", "temperature"),
        ("urn:ngsi-ld:Device:roma-7:", "temperature", "urn:ngsi-ld:Device:roma-7", "temperature"),
        ("urn:ngsi-ld:Device:roma-", "7/temperature", "urn:ngsi-ld:Device:roma-7", "temperature"),
        ("2001:db8::2/", "temperature", "2001:db8::2", "temperature"),
        ("parque-7:", "temperature", "parque-7", "temperature"),
        ("parque-7", "temperature", "parque-7", "temperature"),
        ("", "parque-7/temperature", "parque-7", "temperature"),
        ("cdmx/roma/", "7/temperature", "cdmx/roma/7", "temperature"),
        ("parque-7/", "temperature/2", "parque-7", "temperature_ch2"),
        ("", "temperature", "city/senml", "temperature"),
        ("", "sala-3", "sala-3", "temperature"),
        ("parque-7/", "3303/0/5700", "parque-7", "temperature"),
        ("parque-7/3303/", "5700", "parque-7", "temperature"),
        ("/3303/2/", "5700", "city/senml", "temperature_ch2"),
        ("17/3303/0/", "5700", "17", "temperature"),
        ("parque-7/3300/0/", "5700", "parque-7", "temperature"),
    ],
)
def test_a_name_is_a_device_and_what_it_measures(base: str, own: str, thing: str, observed_property: str) -> None:
    assert told([{"bn": base, "n": own, "u": "Cel", "v": 21.5}]) == {thing: {observed_property: 21.5}}


@pytest.mark.parametrize("own", ["temperature_max", "setpoint", "min", "3303/0/5601", "3308/0/5900", "3202/0/5600"])
def test_limits_and_settings_are_no_measurements(own: str) -> None:
    assert refused([{"bn": "parque-7/", "n": own, "u": "Cel", "v": 21.5}]) is RejectReason.UNMAPPED


@pytest.mark.parametrize(
    ("own", "unit", "value", "observed_property", "result"),
    [
        ("temperature", "K", 300.15, "temperature", 27.0),
        ("humidity", "%RH", 40, "humidity", 40),
        ("fill_level", "/", 0.5, "fill_level", 50),
        ("battery", "%EL", 80, "battery", 80),
        ("pressure", "Pa", 78120, "pressure", 781.2),
        ("power", "kW", 1.5, "power", 1500),
        ("energy", "Wh", 2500, "energy_import", 2.5),
        ("energy", "J", 3_600_000, "energy_import", 1),
        ("distance", "m", 1.2, "distance", 1200),
        ("speed", "m/s", 10, "speed", 36),
        ("noise", "Bspl", 5.5, "noise", 55),
        ("pm25", "ug/m3", 12, "pm2_5", 12),
        ("co2", "ppm", 420, "co2", 420),
        ("no2", "ppb", 21, "no2", 21),
    ],
)
def test_units_of_rfc_8428_and_8798(own: str, unit: str, value: float, observed_property: str, result: float) -> None:
    assert told([{"bn": "x/", "n": own, "u": unit, "v": value}]) == {"x": {observed_property: pytest.approx(result)}}


def test_a_unit_that_several_quantities_have_tells_nothing() -> None:
    for unit in ("m", "Pa", "%", "/", "ppm", "Wh", "Hz", "m/s", "dB", "count"):
        assert refused([{"n": "urn:dev:ow:10e2073a0a0b0c0d", "u": unit, "v": 1}]) is RejectReason.UNMAPPED


def test_lwm2m_objects_whose_unit_is_fixed_need_none() -> None:
    pack = [
        {"bn": "m-1/", "n": "3/0/9", "v": 77},
        {"n": "3/0/7/0", "v": 3642},
        {"n": "3305/0/5800", "v": 410},
        {"n": "3305/0/5805", "v": 12500},
        {"n": "3435/0/2", "v": 64},
        {"n": "3316/0/5700", "v": 127},
    ]
    expected = {"battery": 77, "battery_voltage": 3.642, "power": 410, "energy_import": 12.5, "fill_level": 64}
    assert told(pack) == {"m-1": expected}  # the voltmeter states no unit, and its object fixes none


def test_bases_hold_until_they_are_replaced() -> None:
    records = list(
        resolve(
            [
                {"bn": "a/", "bt": 1_700_000_000, "bu": "V", "bv": 100, "bs": 5},
                {"n": "x", "v": 1, "t": 2},
                {"n": "y", "u": "A", "s": 1},
                {"bn": "b/", "bt": 0, "n": "z", "vb": True},
            ],
            RECEIVED_AT,
        )
    )
    assert [record.name for record in records] == ["a/x", "a/y", "b/z"]
    assert [record.unit for record in records] == ["V", "A", "V"]
    assert [record.time for record in records] == [1_700_000_002 * SECOND, 1_700_000_000 * SECOND, None]
    assert [(record.value, record.total, record.flag) for record in records] == [
        (101, None, None),
        (None, 6, None),
        (None, None, True),
    ]


@pytest.mark.parametrize(
    ("base", "own", "time"),
    [
        (None, None, None),
        (0, 0, None),
        (None, -30, RECEIVED_AT - 30 * SECOND),
        (-60, 30, RECEIVED_AT - 30 * SECOND),
        (None, 2**28 - 1, RECEIVED_AT + (2**28 - 1) * SECOND),
        (None, 2**28, 2**28 * SECOND),
        (1_795_370_000, 0.25, 1_795_370_000_250_000),
        (1_795_370_000, -1_795_370_000, None),
    ],
)
def test_small_times_are_relative_to_the_receipt(base: float | None, own: float | None, time: int | None) -> None:
    (record,) = resolve([{"n": "x", "v": 1, "bt": base, "t": own}], RECEIVED_AT)
    assert record.time == time


def test_nothing_is_read_from_records_without_a_value() -> None:
    assert list(resolve([{"bn": "x/"}, {"n": "a"}], RECEIVED_AT)) == []
    assert refused([{"bn": "x/"}]) is RejectReason.EMPTY
    assert refused([]) is RejectReason.EMPTY
    assert refused([{"bn": "x/", "n": "temperature", "u": "Cel", "v": None}]) is RejectReason.UNMAPPED


@pytest.mark.parametrize(
    "pack",
    [
        "text",
        [1],
        [{"bn": 7, "v": 1}],
        [{"n": "x", "u": 7, "v": 1}],
        [{"n": "x", "v": "1"}],
        [{"n": "x", "v": True}],
        [{"n": "x", "v": 1, "t": "now"}],
        [{"n": "x", "v": 1, "bver": "ten"}],
        [{"n": "x", "v": 1, "bver": 11}],
        [{"n": "x", "v": 1, "new_": 1}],
    ],
)
def test_what_is_no_pack_is_refused(pack: object) -> None:
    assert refused(pack) in (RejectReason.WRONG_SHAPE, RejectReason.EMPTY)


@pytest.mark.parametrize("version", [1, 5, 10, 26])
def test_versions_we_know(version: int) -> None:
    assert told([{"bn": "x/", "bver": version, "n": "temperature", "u": "Cel", "v": 1}]) == {"x": {"temperature": 1}}


def test_a_time_that_cannot_be_is_refused() -> None:
    assert refused([{"n": "x", "u": "Cel", "v": 1, "bt": 1e308, "t": 1e308}]) is RejectReason.IMPOSSIBLE_TIMESTAMP


def test_cbor_and_json_say_the_same() -> None:
    labels = {"bn": -2, "bt": -3, "n": 0, "u": 1, "v": 2, "t": 6}
    pack: list[dict[str, Any]] = [
        {"bn": "urn:dev:ow:10e2073a0a0b0c0d:", "bt": 1_795_370_000, "n": "temperature", "u": "Cel", "v": 23.5},
        {"n": "humidity", "u": "%RH", "v": 40.25, "t": -5},
    ]
    packed = cbor2.dumps([{labels[name]: value for name, value in record.items()} for record in pack])
    context = Context(ZoneInfo("UTC"))

    for content_type in ("application/senml+cbor", None):
        message = incoming(packed, content_type)
        assert next(entry.name for entry in (*by_content_type(message), *by_look(message))) == "senml"
        assert decoders["senml"].decode(message, context) == decode(pack)


@pytest.mark.parametrize(
    "body",
    [
        [{"n": "x", "v": 1}],
        [{"bn": "x/"}, {"n": "y", "vb": True}],
        {"bn": "x", "e": [{"n": "y", "v": 1}]},
        {"n": "x", "u": "Cel", "v": 1},
    ],
)
def test_packs_are_known_by_their_look(body: object) -> None:
    assert is_pack(body)


def test_numbered_labels_are_those_of_cbor_only() -> None:
    assert is_pack([{"-2": "x", "2": 1.5}], numbered=True)
    assert not is_pack([{"-2": "x", "2": 1.5}])


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        "x",
        None,
        [1],
        [{"v": 1}],
        [{"n": 1, "v": 1}],
        [{"n": "x"}],
        [{"n": "x", "v": 1, "unit": "m"}],
        [{"n": "x", "v": 1}, 7],
        {"name": "x", "value": 1},
        {"e": [1, 2]},
    ],
)
def test_other_messages_do_not_look_like_a_pack(body: object) -> None:
    assert not is_pack(body)


@pytest.mark.parametrize(
    "name", ["x", "x/1", "x/5/6", "x/99999/1", "3303", "", "/", "x/330300/0/5700", "x/٣٣٠٣/0/5700"]
)
def test_other_names_are_no_lwm2m_paths(name: str) -> None:
    assert parse(name) is None


labels = st.sampled_from(
    ["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut", "e", "x_"]
)
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(["Cel", "%RH", "W", "lat", "x/temperature", "urn:dev:ow:1:", "a/3303/0/5700", ":", "/"])
)
records = st.dictionaries(labels, values, max_size=6)


@given(pack=st.lists(records | values, max_size=5) | records | st.dictionaries(labels, st.lists(records), max_size=3))
def test_any_json_is_decoded_or_refused(pack: object) -> None:
    with suppress(DecodeError, NotMine):
        decode(pack)


@given(
    names=st.lists(st.text(st.sampled_from("abct1:/._-é"), max_size=20), min_size=1, max_size=5),
    unit=st.sampled_from(["Cel", "%RH", "V", "lat", "m"]),
)
def test_any_name_is_decoded_or_refused(names: list[str], unit: str) -> None:
    with suppress(DecodeError):
        for thing in decode([{"n": name, "u": unit, "v": 1} for name in names]).things:
            assert thing.external_id
            assert thing.observations


def test_a_path_of_lwm2m_may_follow_a_device_without_a_slash() -> None:
    pack = [{"bn": "urn:dev:lora:BE7A0000000000C1:", "n": "3303/0/5700", "u": "Cel", "v": 21.5}]
    assert told(pack) == {"urn:dev:lora:BE7A0000000000C1": {"temperature": 21.5}}


def test_a_pack_of_labels_and_states_is_ignored() -> None:
    pack = [{"bn": "lamp-7/", "n": "switch", "vb": True}, {"n": "label", "vs": "Plaza"}]
    assert decode(pack).outcome is MessageOutcome.IGNORE
    assert refused([*pack, {"n": "flux", "v": 3}]) is RejectReason.UNMAPPED
