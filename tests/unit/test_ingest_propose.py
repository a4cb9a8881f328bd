"""Proposals: they load as they are, understand their own message, and list what they do not know."""

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.dry_run import dry_run
from ingest.mapping import load_devices
from ingest.message import RawMessage
from ingest.proposals.propose import propose


def proposed(topic: str, payload: object) -> str:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return propose(RawMessage(topic, raw, 0))


def applied(topic: str, payload: object) -> dict[str, Any]:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return dry_run(topic, raw, mapping=proposed(topic, payload))


def observed(answer: dict[str, Any]) -> dict[str, float]:
    return {row["observed_property"]: row["result"] for row in answer["observations"]}


def test_what_the_vocabulary_is_certain_of_is_filled_in() -> None:
    answer = applied("plaza/air/st-12", {"ts": 1777878000, "PM2.5": 8.5, "co2_ppm": 410, "plate": "AB-1"})
    assert observed(answer) == {"pm2_5": 8.5, "co2": 410}
    assert {row["thing_id"] for row in answer["observations"]} == {"st-12"}
    assert {row["phenomenon_time"] for row in answer["observations"]} == {"2026-05-04T07:00:00Z"}


def test_other_numbers_are_listed_with_their_value_and_personal_ones_are_not() -> None:
    text = proposed("a/7", {"quux": 17.25, "driverPhone": 5550100, "co2_ppm": 400})
    assert "# It was 17.25." in text
    assert '# value = "quux"' in text
    assert "5550100" not in text


def test_a_message_of_which_nothing_is_known_is_ingested_under_a_name_to_be_changed() -> None:
    assert observed(applied("a/7", {"quux": 17.25})) == {"unnamed": 17.25}


def test_the_levels_that_differ_become_parts() -> None:
    messages = [RawMessage(f"city/{name}/state", b'{"co2_ppm": 1}', 0) for name in ("north", "south")]
    assert 'topic = "city/{device}/state"' in propose(messages)


def test_a_version_in_the_topic_is_no_device() -> None:
    assert 'topic = "v2/bins/{device}"' in proposed("v2/bins/b-7", {"co2_ppm": 1})


def test_without_a_telling_topic_a_field_names_the_device() -> None:
    assert 'thing = { path = "meta.serialNumber" }' in proposed("data", {"meta": {"serialNumber": "A1"}, "co2_ppm": 1})


def test_units_beside_the_values_are_used() -> None:
    assert observed(applied("a/7", {"Active Power": {"value": 0.5, "unit": "kW"}})) == {"power": 500}


def test_two_fields_that_mean_the_same_are_left_to_a_person() -> None:
    text = proposed("a/7", {"co2_ppm": 1, "x": {"co2_ppm": 2}})
    assert '\nproperty = "co2"' not in text
    assert '# property = "co2"' in text


def test_a_list_of_records_is_gone_through() -> None:
    assert [row["result"] for row in applied("a/7", [{"co2_ppm": 1}, {"co2_ppm": 2}])["observations"]] == [1, 2]


def test_a_bare_number_and_a_text_are_proposed_as_such() -> None:
    assert observed(applied("a/7", b" 21.5 ")) == {"unnamed": 21.5}
    assert observed(applied("a/7", b"T:21.5C")) == {"unnamed": 21.5}


def test_a_known_envelope_is_proposed_a_profile() -> None:
    message = {
        "end_device_ids": {"device_id": "odd-1", "application_ids": {"application_id": "a"}},
        "received_at": "2026-05-04T07:00:00Z",
        "uplink_message": {"f_port": 1, "frm_payload": "AQ==", "decoded_payload": {"quux": 5}},
    }
    topic = "v3/a@ttn/devices/odd-1/up"
    text = proposed(topic, message)
    assert "[[profile]]" in text
    assert 'match.devices = ["odd-1"]' in text
    assert observed(applied(topic, message)) == {"unnamed": 5}


def test_no_message_no_proposal() -> None:
    with pytest.raises(ValueError, match="at least one"):
        propose([])


json_value = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=12)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.text(max_size=8), st.sampled_from(["co2_ppm", "ts", "id", "value", "unit"])), inner, max_size=5
        ),
    ),
    max_leaves=15,
)
level = st.one_of(
    st.text(max_size=6).filter(lambda text: "/" not in text), st.sampled_from(["{a}", "+", "#", "v1", "st-7", '"'])
)


@given(st.lists(level, min_size=1, max_size=4), json_value)
@settings(max_examples=150, deadline=None)
def test_a_proposal_loads_whatever_the_message(levels: list[str], payload: object) -> None:
    text = proposed("/".join(levels) or "x", payload)
    load_devices([], {"proposal.toml": text}, library=False)


@given(st.binary(max_size=60))
@settings(max_examples=150, deadline=None)
def test_a_proposal_loads_whatever_the_bytes(payload: bytes) -> None:
    load_devices([], {"proposal.toml": proposed("a/b7", payload)}, library=False)


RECEIVED = 1777878060_000_000  # 2026-05-04 07:01 UTC


def results(topic: str, payload: object) -> list[tuple[object, ...]]:
    """What a proposal makes of its own message: thing, property, result and time of day."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    at = datetime.fromtimestamp(RECEIVED / 1e6, UTC)
    mapping = propose(RawMessage(topic, raw, RECEIVED))
    answer: Any = dry_run(topic, raw, mapping=mapping, received_at=at, timezone="UTC")
    assert answer["outcome"] == "ingest", answer["reason"]
    return [
        (row["thing_id"], row["observed_property"], row["result"], row["phenomenon_time"][:19])
        for row in answer["observations"]
    ]


def test_numbers_in_text_with_units_and_commas() -> None:
    payload = {"Temperatura": "23,5 °C", "Presion": "1.013,2 hPa", "Serie": "12 AB"}
    assert [row[1:3] for row in results("meteo/est-3", payload)] == [("temperature", 23.5), ("pressure", 1013.2)]


@pytest.mark.parametrize(
    "told",
    [
        {"fecha": "04/05/2026 07:00:00"},
        {"interval_end": "05/04/2026 07:00:00 AM"},
        {"Zeit": "04.05.2026 07:00"},
        {"epochMs": "1777878000000"},
        {"date": "04-05-2026", "time": "07:00:00"},
        {"lastService": "2026-01-01T00:00:00Z", "at": "2026-05-04 07:00:00"},
    ],
)
def test_the_time_is_found_however_it_is_written(told: dict[str, str]) -> None:
    assert results("a/b-7", {"co2_ppm": 410, **told}) == [("b-7", "co2", 410, "2026-05-04T07:00:00")]


def test_a_list_of_devices_is_gone_through() -> None:
    payload = {"sent": 1777878000000, "devices": [{"id": "M1", "temp_c": 20.5}, {"id": "M2", "temp_c": 21}]}
    assert [row[:3] for row in results("lot/9", payload)] == [("M1", "temperature", 20.5), ("M2", "temperature", 21)]


def test_the_lanes_of_one_device_are_told_apart() -> None:
    payload = {"ts": 1777878000, "lanes": [{"lane": 1, "speedKmh": 45}, {"lane": 2, "speedKmh": 52}]}
    assert results("cams/c-3", payload) == [
        ("c-3-1", "speed", 45, "2026-05-04T07:00:00"),
        ("c-3-2", "speed", 52, "2026-05-04T07:00:00"),
    ]


def test_records_that_name_what_they_tell_become_one_observation() -> None:
    measured = [
        {"name": "NO2", "value": "33,5", "unit": "ppb"},
        {"name": "PM10", "value": 12, "unit": "ug/m3"},
        {"name": "VOC", "value": 2, "unit": "grumps"},
        {"name": "plate", "value": "7", "unit": ""},
    ]
    text = proposed("lab/s-3", {"measurements": measured})
    assert '# Not listed, so left aside: "VOC"' in text
    assert "plate" not in text
    assert [row[:3] for row in results("lab/s-3", {"measurements": measured})] == [
        ("s-3", "no2", 33.5),
        ("s-3", "pm10", 12),
    ]


def test_one_value_in_each_topic() -> None:
    assert results("house/floor2/room-5/temperatura", b"23,5") == [
        ("floor2-room-5", "temperature", 23.5, "2026-05-04T07:01:00")
    ]
    together = propose([RawMessage(f"h/r-5/{name}", b"4.5", 0) for name in ("temperature", "co2", "humidity")])
    assert 'topic = "h/{device}/{reading}"' in together
    answer: Any = dry_run("h/r-9/co2", b"612", mapping=together)
    assert [(row["thing_id"], row["observed_property"]) for row in answer["observations"]] == [("r-9", "co2")]


def test_pairs_and_rows() -> None:
    assert results("w/p-1", b"temp_c=21.5;co2_ppm=410;ts=1777878000") == [
        ("p-1", "temperature", 21.5, "2026-05-04T07:00:00"),
        ("p-1", "co2", 410, "2026-05-04T07:00:00"),
    ]
    rows = b"time,temp_c\n2026-05-04 06:59:00,20\n2026-05-04 07:00:00,21\n"
    assert [row[2:] for row in results("w/p-1", rows)] == [
        (20, "2026-05-04T06:59:00"),
        (21, "2026-05-04T07:00:00"),
    ]
    assert "columns = ['time', 'column2']" in proposed("w/p-1", b"2026-05-04 07:00:00;120\n")


def test_xml_is_proposed_paths_and_its_plate_is_not_quoted() -> None:
    payload = b'<r><plate>AB-12</plate><speed unit="km/h">54</speed></r>'
    assert [row[:3] for row in results("radar/r-7", payload)] == [("r-7", "speed", 54)]
    assert "AB-12" not in proposed("radar/r-7", payload)


def test_a_plate_in_the_topic_names_no_device() -> None:
    text = proposed("gate/cam-1/plate/AB-12", {"co2_ppm": 4})
    assert 'topic = "gate/{device}/plate/+"' in text
    assert 'thing = "{device}"' in text


def test_topics_of_which_every_level_is_a_property_are_proposed_something() -> None:
    together = propose([RawMessage(f"{name}/humidity", b"4.5", 0) for name in ("temperature", "co2")])
    load_devices([], {"proposal.toml": together}, library=False)


def test_records_of_names_nobody_knows_are_proposed_to_be_named() -> None:
    payload = {"id": "x", "readings": [{"name": "foo", "value": 1}, {"name": "bar", "value": 2}]}
    assert [row[:3] for row in results("c/7", payload)] == [("x", "unnamed", 1)]
    assert '# Not listed, so left aside: "bar"' in proposed("c/7", payload)


def test_what_is_probable_is_listed_with_its_unit_and_no_family_is_claimed_by_a_side_reading() -> None:
    text = proposed("its/det-9", {"det": "det-9", "occ_pct": 12.5, "avg_speed_mph": 31, "vol": 14, "kw": 1.2})
    for name, value, unit in (
        ("occupancy", "occ_pct", "%"),
        ("speed", "avg_speed_mph", "mph"),
        ("vehicle_count", "vol", "1"),
        ("power", "kw", "kW"),
    ):
        assert f'# property = "{name}"\n# value = "{value}"\n# unit = "{unit}"' in text
    assert 'det-9"' not in text
    assert '# family = "waste"  # or' in proposed("bins/b-9", {"lvl": 45, "temperature": 21})


def test_lines_of_influx_and_elements_of_xml_are_proposed() -> None:
    line = b"weather,station=S7 temperature=21.5,humidity=71i 1777878000000000000"
    assert [row[1:] for row in results("influx/w-1", line)] == [
        ("temperature", 21.5, "2026-05-04T07:00:00"),
        ("humidity", 71, "2026-05-04T07:00:00"),
    ]
    lanes = b'<r><lane no="1"><speed unit="km/h">54</speed></lane><lane no="2"><speed unit="km/h">50</speed></lane></r>'
    assert [row[:3] for row in results("x/r-1", lanes)] == [("r-1-1", "speed", 54), ("r-1-2", "speed", 50)]


def test_json_within_json() -> None:
    payload = {"data": {"body": json.dumps({"co2_ppm": "410"})}}
    assert [row[:3] for row in results("a/s-7", payload)] == [("s-7", "co2", 410)]


def test_the_position_is_found() -> None:
    text = proposed("bins/b-7", {"lat": 19.3, "lon": -99.1, "fill_pct": 71})
    assert 'position = { latitude = "lat", longitude = "lon" }' in text


@pytest.mark.parametrize("payload", [b"a,1\x00\nb,2", b"<", b"=", b"a=", b";;", b"1;2\n3", b"{'a': 1}"])
def test_odd_texts_are_proposed_something_that_loads(payload: bytes) -> None:
    load_devices([], {"proposal.toml": proposed("a/b7", payload)}, library=False)


@pytest.mark.parametrize("payload", [bytes(range(200, 250)), gzip.compress(b'{"co2_ppm": 1}')[:-4]])
def test_bytes_that_no_mapping_can_read_are_said_to_be_such(payload: bytes) -> None:
    text = proposed("a/b-7", payload)
    assert all(line.startswith("#") for line in text.splitlines())
    assert "no mapping can read them" in text
