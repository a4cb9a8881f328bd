"""The mapping language: its reference page, its faults, its precedence, and hostile messages."""

import base64
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decoders import NotMine
from ingest.dry_run import dry_run
from ingest.interpret import Interpreter, NotUnderstood
from ingest.mapping import DeviceBook, Devices, load_devices
from ingest.mapping.paths import MISSING, parse_path
from ingest.mapping.patterns import compile_pattern
from ingest.mapping.times import to_time
from ingest.mapping.topics import parse_filter, parse_topic
from ingest.message import Context, Decoded, Incoming, MessageOutcome, RawMessage, Reported
from pulso.city import CityPack, load_pack
from pulso.errors import ConfigurationError, DecodeError, RejectReason
from pulso.model import Family

MEXICO = ZoneInfo("America/Mexico_City")
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "mapping.md"
BLOCK = re.compile(r"^```(\w+)(?: topic=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def book(text: str, **others: str) -> DeviceBook:
    return load_devices([], {"test.toml": text, **others}, library=False)


def read(text: str, payload: object, topic: str = "t/1") -> Decoded:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    message = Incoming(RawMessage(topic, raw, 0))
    (reader,) = book(text).mappings(message.levels)
    return reader.decode(message, Context(MEXICO))


def faults(text: str, **settings: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_devices([], {"f.toml": text}, library=False, **settings)
    return caught.value.faults


def mapping(head: str = "", observation: str = 'property = "power"\nvalue = "p"\nunit = "W"') -> str:
    thing = "" if "thing" in head else 'thing = "x"\n'
    return f'[[mapping]]\nname = "m"\ntopic = "t/#"\n{thing}{head}\n[[mapping.observation]]\n{observation}\n'


# --- the reference ---------------------------------------------------------------------------------------------------


def documented() -> Iterator[Any]:
    """Each payload of the page, with the mapping before it and the result after it."""
    language, topic, payload = "", "", ""
    for block in BLOCK.finditer(REFERENCE.read_text(encoding="utf-8")):
        kind, told, content = block.groups()
        if kind == "toml":
            language = content
        elif told:
            topic, payload = told, content
        elif kind == "result":
            yield pytest.param(language, topic, payload, content.splitlines(), id=topic)


@pytest.mark.parametrize(("language", "topic", "payload", "expected"), list(documented()))
def test_an_example_of_the_reference_gives_what_stands_below_it(
    language: str, topic: str, payload: str, expected: list[str]
) -> None:
    answer: dict[str, Any] = dry_run(
        topic, payload.encode(), mapping=language, received_at=datetime(2026, 11, 22, tzinfo=UTC)
    )
    received = "2026-11-22T00:00:00Z"
    told = [
        f"{row['thing_id']} {row['observed_property']} {row['result']:g} {unit(row['unit'])}"
        + (f" {row['phenomenon_time']}" if row["phenomenon_time"] != received else "")
        for row in answer["observations"]
    ]
    assert (told or [answer["outcome"]]) == expected, answer["reason"]


def unit(shown: str) -> str:
    return {"": "1", "count": "1"}.get(shown, shown)


def test_the_reference_shows_the_faults_that_are_told() -> None:
    blocks = {kind: content for kind, _, content in BLOCK.findall(REFERENCE.read_text(encoding="utf-8"))}
    told = faults(blocks["fault"])
    assert [fault.replace("f.toml", "bins.toml") for fault in told] == blocks["faults"].splitlines()


def test_the_reference_has_an_example_for_every_key_of_an_observation() -> None:
    from ingest.mapping.tables import MappingTable, Observation, ProfileTable, SourceTable

    text = REFERENCE.read_text(encoding="utf-8")
    for table in (Observation, MappingTable, ProfileTable, SourceTable):
        for key in table.model_fields:
            assert re.search(rf"\b{key}\b", text), f"{table.__name__}.{key} is not described"


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("[[mapping]\n", "f.toml:1:", "not TOML"),
        ("a = 1\nb = = 2\n", "f.toml:2:", "not TOML"),
        ('[[maping]]\nname = "x"\n', "f.toml:1:", "did you mean [[mapping]]?"),
        ('[mapping]\nname = "x"\n', "f.toml:1:", "two brackets"),
        (mapping('tpoic = "x"'), "f.toml:5:", "did you mean 'topic'?"),
        (mapping('thing = { prt = "x" }'), "f.toml:4:", "did you mean 'part'?"),
        (mapping('thing = { part = "x" }'), "f.toml:4:", "no part {x}"),
        (mapping('thing = "{a"'), "f.toml:4:", "braces do not match"),
        (mapping('family = "trafic"'), "f.toml:5:", "not one of traffic, waste, energy, air"),
        (mapping('profile = "p"'), "f.toml:5:", "no profile 'p'"),
        (mapping('each = "^.a"'), "f.toml:5:", "no record lies around this one"),
        (mapping('time = { path = "a", format = "%H:%M" }'), "f.toml:5:", "year, month and day"),
        (mapping('time = { path = "a", format = "epoch" }'), "f.toml:5:", "epoch_s"),
        (mapping('time = { path = "a", timezone = "Mars" }'), "f.toml:5:", "IANA"),
        (mapping('time = { path = "a", since = "2000-01-01" }'), "f.toml:5:", "a format that counts"),
        (mapping('time = { path = "a", format = "epoch_s", since = "y2k" }'), "f.toml:5:", "a day like 2000-01-01"),
        (mapping('time = { path = "a", step = 60 }'), "f.toml:5:", "go together"),
        (mapping('time = { path = "a", step = 60, steps = "n" }'), "f.toml:5:", "no part {n}"),
        (mapping(observation='property = "power"\nvalue = "a"\nhex = 5'), "f.toml:6:", "the bits of a signed number"),
        (mapping(observation='property = "power"\nvalue = "a"\nminus = "plate"'), "f.toml:9:", "never kept"),
        (mapping('drop = ["p"]'), "f.toml:8:", "is dropped"),
        (mapping(observation='property = "power"'), "f.toml:6:", "value: is needed"),
        (mapping(observation='property = "temprature"\nvalue = "a"'), "f.toml:7:", "did you mean 'temperature'?"),
        (mapping(observation='property = "pm2_6"\nvalue = "a"\nunit = "ug/m3"'), "f.toml:7:", "did you mean 'pm2_5'?"),
        (mapping(observation='property = "My Own"\nvalue = "a"\nunit = "W"'), "f.toml:7:", "lower-case"),
        (mapping(observation='property = "no2"\nvalue = "a"'), "f.toml:6:", "ppb or ug/m3"),
        (mapping(observation='property = "power"\nvalue = "a"\nunit = "furlong"'), "f.toml:9:", "furlong"),
        (mapping(observation='property = "power"\nvalue = "a"\nunit = "°C"'), "f.toml:9:", "°C"),
        (mapping(observation='property = "speed"\nvalue = "a[b"'), "f.toml:8:", "not a path at column"),
        (mapping(observation='property = "speed"\nvalue = "PM2.5"'), "f.toml:8:", "is quoted"),
        (mapping(observation='property = "speed"\nvalue = "speed (kmh)"'), "f.toml:8:", "no function 'speed'"),
        (mapping(observation='property = "speed"\nvalue = "driver.name.driverName"'), "f.toml:8:", "names a person"),
        (mapping(observation='property = "speed"\nvalue = "a"\npattern = "(a+)+b"'), "f.toml:9:", "too long"),
        (mapping(observation='property = "speed"\nvalue = "a"\npattern = "(a"'), "f.toml:9:", "regular expression"),
        (mapping(observation='property = "speed"\nvalue = "a"\npattern = "a"'), "f.toml:6:", "needs a group"),
        (mapping(observation='property = "speed"\nvalue = "a"\nscale = 0'), "f.toml:6:", "scale"),
        (mapping(observation='property = "speed"\nvalue = "a"\nrange = [5, 1]'), "f.toml:6:", "lowest"),
        (
            mapping() + '[[mapping.observation]]\nproperty = "power"\nvalue = "q"\n',
            "f.toml:11:",
            "observation 1 already",
        ),
        (mapping() + mapping(), "f.toml:11:", "'m' is taken already, at f.toml:1"),
        ('[[source]]\nname = "s"\ntopics = ["a/#/b"]\n', "f.toml:3:", "no topic filter"),
        ('[[source]]\nname = "s"\ntopics = ["a"]\ndecoder = "ttn_v4"\n', "f.toml:4:", "did you mean 'ttn_v3'?"),
        ('[[profile]]\nname = "p"\n', "f.toml:1:", "at least one [[profile.observation]]"),
        ('[[profile]]\nname = "p"\nlike = "q"\n', "f.toml:3:", "no profile 'q'"),
        ('[[profile]]\nname = "p"\nlike = "p"\n', "f.toml:3:", "comes back to itself"),
        ('[[mapping]]\nname = "m"\ntopic = "a/{b"\nthing = "x"\n', "f.toml:3:", "{ without }"),
    ],
)
def test_a_fault_is_named_by_line_and_reason(text: str, where: str, reason: str) -> None:
    assert any(fault.startswith(where) and reason in fault for fault in faults(text)), faults(text)


def test_an_unknown_zone_is_a_fault_where_the_zones_are_known() -> None:
    (fault,) = faults(mapping('zone = "tlalpn"'), zones={"tlalpan", "iztapalapa"})
    assert fault.startswith("f.toml:5:")
    assert "did you mean 'tlalpan'?" in fault


def test_all_faults_are_told_at_once() -> None:
    text = mapping('tyme = "a"') + mapping(observation='property = "speed"\nvalue = "a["').replace('"m"', '"n"')
    assert len(faults(text)) == 2


# --- evaluation ------------------------------------------------------------------------------------------------------


def test_the_example_of_every_profile_case_needs_no_code() -> None:
    decoded = read(mapping(observation='property = "my_thing"\nvalue = "a"\nunit = "kWh"'), {"a": 3})
    (thing,) = decoded.things
    assert thing.admits
    assert thing.observations[0][:3] == ("my_thing", 3.0, "kWh")


def test_what_was_sent_is_kept_beside_what_was_converted() -> None:
    (thing,) = read(mapping(observation='property = "power"\nvalue = "kw"\nunit = "kW"'), {"kw": 0.33}).things
    assert thing.observations[0].result == 330.0
    assert (thing.observations[0].sent_result, thing.observations[0].sent_unit) == (0.33, "kW")


def test_null_and_words_for_nothing_are_no_reading() -> None:
    for nothing in (None, "", " N/A ", "nan", "-"):
        assert read(mapping(), {"p": nothing}).outcome is MessageOutcome.IGNORE


def test_zero_is_a_reading() -> None:
    (thing,) = read(mapping(), {"p": 0}).things
    assert thing.observations[0].result == 0.0


def test_a_message_in_which_nothing_is_found_is_not_understood() -> None:
    with pytest.raises(DecodeError, match="unmapped: nothing of what m looks for: p"):
        read(mapping(), {"q": 1})


def test_a_required_value_that_is_missing_refuses_the_message() -> None:
    text = mapping() + '[[mapping.observation]]\nproperty = "voltage"\nvalue = "v"\nrequired = true\n'
    with pytest.raises(DecodeError, match="wrong_shape: no value at v"):
        read(text, {"p": 1})


def test_an_unknown_unit_in_the_message_is_refused() -> None:
    text = mapping(observation='property = "power"\nvalue = "p"\nunit = { path = "u" }')
    with pytest.raises(DecodeError) as caught:
        read(text, {"p": 1, "u": "parsec"})
    assert caught.value.reason is RejectReason.UNKNOWN_UNIT


def test_a_number_that_is_none_is_refused() -> None:
    for value in ("fast", {"a": 1}, [1]):
        with pytest.raises(DecodeError, match="is not a number"):
            read(mapping(), {"p": value})


def test_an_empty_list_is_a_message_without_a_reading() -> None:
    assert read(mapping('each = "rows"'), {"rows": []}).outcome is MessageOutcome.IGNORE


def test_a_condition_that_is_not_met_passes_the_message_on() -> None:
    with pytest.raises(NotMine):
        read(mapping('when = { kind = "a" }'), {"kind": "b", "p": 1})


def test_true_is_not_one_in_a_condition() -> None:
    with pytest.raises(NotMine):
        read(mapping("when = { on = 1 }"), {"on": True, "p": 1})


def test_devices_without_an_id_refuse_the_message() -> None:
    with pytest.raises(DecodeError, match="does not tell the device: id"):
        read(mapping('thing = { path = "id" }'), {"p": 1})


def test_keys_that_hold_personal_data_are_passed_over() -> None:
    text = mapping(
        'each = { path = "@", key = "k" }\ndrop = ["secret"]', 'property = "power"\nvalue = "@"\nthing = "{k}"'
    )
    decoded = read(text, {"licensePlate": 1, "Secret": 2, "a": 3})
    assert [thing.external_id for thing in decoded.things] == ["a"]


def test_a_mapping_hands_an_object_to_a_profile_it_names() -> None:
    text = (
        '[[mapping]]\nname = "m"\ntopic = "t/{d}"\nthing = "{d}"\nfields = "o"\nprofile = "p"\ntime = "ts"\n'
        '[[profile]]\nname = "p"\nfamily = "waste"\n'
        '[[profile.observation]]\nproperty = "distance"\nvalue = "d"\nunit = "cm"\n'
    )
    (thing,) = read(text, {"o": {"d": 12}, "ts": 1_700_000_000}).things
    assert (thing.external_id, thing.family, thing.fields) == ("1", Family.WASTE, None)
    assert thing.observations[0].result == 120.0
    assert thing.observations[0].phenomenon_time == 1_700_000_000_000_000


def test_a_mapping_leaves_an_object_without_a_named_profile_to_the_interpreter() -> None:
    text = '[[mapping]]\nname = "m"\ntopic = "t/{d}"\nthing = "{d}"\nfields = "o"\nmodel = [{ path = "m" }]\n'
    (thing,) = read(text, {"o": {"d": 12}, "m": "AB-1"}).things
    assert (thing.fields, thing.model) == ({"d": 12}, ("AB-1",))


def test_json_inside_json_may_be_in_base64() -> None:
    text = mapping('format = { type = "json", inside = "payload" }')
    inside = base64.b64encode(b'{"p": 1.5}').decode()
    assert read(text, {"payload": inside}).things[0].observations[0].result == 1.5
    with pytest.raises(DecodeError, match="not JSON"):
        read(text, {"payload": "no JSON in any way"})


def test_what_stands_beside_a_list_is_around_its_records() -> None:
    text = mapping('each = "now.values"\nthing = "{^.name}"\ntime = "^.till"')
    sent = {"name": "s-1", "now": {"name": "another", "till": "2026-05-04T07:00:00Z", "values": [{"p": 1}, {"p": 2}]}}
    (thing,) = read(text, sent).things
    assert thing.external_id == "s-1"
    assert [each.phenomenon_time for each in thing.observations] == [1777878000_000000] * 2
    nested = mapping('each = ["a.b", "c.d"]\nthing = "{^^.id}-{^.id}"')
    inner = {"a": {"id": "out", "b": [{"c": {"id": "in", "d": [{"p": 1}]}}]}}
    assert read(nested, inner).things[0].external_id == "out-in"


def test_columns_are_read_by_row() -> None:
    text = mapping('each = { path = "hourly", columns = true }\ntime = "at"')
    columns = {"at": [1777878000, 1777881600, 1777885200], "p": [1, None, 3], "unit": "kW", "q": [7]}
    found = read(text, {"hourly": columns}).things[0].observations
    assert [(each.result, each.phenomenon_time) for each in found] == [
        (1, 1777878000_000000),
        (3, 1777885200_000000),
    ]


@pytest.mark.parametrize(
    ("sent", "keys", "expected"),
    [
        ("12,345.6", 'thousands = ","', 12345.6),
        ("1,234,567", 'thousands = ","', 1234567),
        ("12\u202f345,6 W", 'thousands = " "\ndecimal_comma = true\nleading_number = true', 12345.6),
        ("1.234,5", 'thousands = "."\ndecimal_comma = true', 1234.5),
        ("1’234.5", """thousands = "'" """, 1234.5),
        ("12.5", 'thousands = ","', 12.5),
    ],
)
def test_groups_of_digits_are_read(sent: str, keys: str, expected: float) -> None:
    text = mapping(observation=f'property = "power"\nvalue = "p"\nunit = "W"\n{keys}')
    assert read(text, {"p": sent}).things[0].observations[0].result == expected


@pytest.mark.parametrize(
    ("sent", "hint"),
    [
        ("12,345.6", 'thousands = ","'),
        ("12 345,6", 'thousands = " " and decimal_comma = true'),
        ("1'250 kg", """thousands = "'" and leading_number = true"""),
        ("CLOSED", 'no_reading = ["CLOSED"] if it says that there is none, values = { "CLOSED" = … }'),
    ],
)
def test_a_text_that_is_no_number_says_what_would_read_it(sent: str, hint: str) -> None:
    with pytest.raises(DecodeError, match=re.escape(hint)):
        read(mapping(), {"p": sent})


INFLUX = mapping('format = "influx"\neach = "[*]"\ntime = "time"', 'property = "power"\nvalue = "fields.p"\nunit = "W"')


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("m p=1.5", 1.5),
        ("m,a=b p=2i 1777878000000000000", 2),
        (r'm\ m,a\ b=c\,d s="x, \"y\" =z",ok=true,p=3u', 3),
        ("# told before\n\nm p=-4e-1", -0.4),
    ],
)
def test_lines_of_influx_are_read(line: str, result: float) -> None:
    assert read(INFLUX, line.encode()).things[0].observations[0].result == result


@pytest.mark.parametrize(
    "line", ["hello world", "m", "m p", "m p=x", "m p=1 now", "m p=1..2", 'm p="a', ",a=b p=1", "m p=1,"]
)
def test_what_is_no_line_of_influx_is_refused(line: str) -> None:
    with pytest.raises(DecodeError, match="line protocol"):
        read(INFLUX, line.encode())


@pytest.mark.parametrize("unit", ["a,", "a=", "\\", '"', "m,a=b ", 'm p="', "m p=1,"])
def test_long_lines_of_influx_are_looked_at_quickly(unit: str) -> None:
    began = time.process_time()
    with suppress(DecodeError):
        read(INFLUX, (unit * (1 << 20))[: 1 << 20].encode())
    assert time.process_time() - began < 3.0


def test_json_inside_json_is_read() -> None:
    text = mapping('format = { type = "json", inside = "payload" }')
    (thing,) = read(text, {"payload": '{"p": 5}'}).things
    assert thing.observations[0].result == 5.0


def test_lines_of_text_are_taken_apart_by_a_pattern() -> None:
    text = mapping(
        """format = { type = "regex", pattern = '^(?P<id>\\w+) T(?P<t>[0-9.]+)', lines = true }
each = "[*]"
thing = "{id}\"""",
        'property = "temperature"\nvalue = "t"',
    )
    decoded = read(text, b"a T1.5\nnothing\nb T2.5\n")
    assert [(thing.external_id, thing.observations[0].result) for thing in decoded.things] == [("a", 1.5), ("b", 2.5)]


# --- who is asked first ----------------------------------------------------------------------------------------------


def named(name: str, topic: str, result: int, when: str = "") -> str:
    return (
        f'[[mapping]]\nname = "{name}"\ntopic = "{topic}"\nthing = "x"\n{when}\n'
        f'[[mapping.observation]]\nproperty = "power"\nvalue = {result}\n'
    )


def result_of(devices: DeviceBook, topic: str, payload: object = None) -> float:
    raw = json.dumps(payload).encode()
    (thing,) = Interpreter(devices, MEXICO).interpret(RawMessage(topic, raw, 0)).things
    return thing.observations[0].result


def test_the_more_specific_topic_goes_first() -> None:
    devices = book(
        named("a", "t/#", 1) + named("b", "t/{x}/c", 2) + named("c", "t/d/c", 3) + named("d", "t/{x:e.*}/c", 4)
    )
    assert [result_of(devices, topic) for topic in ("t/1", "t/1/c", "t/d/c", "t/e1/c")] == [1, 2, 3, 4]


def test_a_later_document_goes_before_an_earlier_one_and_replaces_its_names() -> None:
    devices = book(named("a", "t/d", 1) + named("b", "u", 1), later=named("c", "t/{x}", 2) + named("b", "u", 2))
    assert (result_of(devices, "t/d"), result_of(devices, "u")) == (2, 2)
    assert len(devices.readers) == 3


def test_a_mapping_with_a_condition_is_asked_before_one_without() -> None:
    devices = book(named("a", "t", 1) + named("b", "t", 2, 'when = { k = "v" }'))
    assert (result_of(devices, "t", {"k": "v"}), result_of(devices, "t", {})) == (2, 1)


def test_the_most_specific_source_claims_a_topic() -> None:
    text = "".join(
        f'[[source]]\nname = "{name}"\ntopics = ["{topic}"]\n'
        for name, topic in (("all", "#"), ("a", "a/#"), ("ab", "a/+"))
    )
    devices = book(text)
    names = [source.name for topic in ("x", "a/b/c", "a/b") if (source := devices.source(topic.split("/"))) is not None]
    assert names == ["all", "a", "ab"]


def test_a_claimed_decoder_is_obeyed() -> None:
    message = RawMessage("pulso/v1/air/x", b'{"observations": {"co2": 400}}', 0)
    assert Interpreter(DeviceBook.empty(), MEXICO).interpret(message).outcome is MessageOutcome.INGEST
    claimed = book('[[source]]\nname = "s"\ntopics = ["pulso/#"]\ndecoder = "ttn_v3"\n')
    with pytest.raises(NotUnderstood):
        Interpreter(claimed, MEXICO).interpret(message)


PROFILES = """
[[profile]]
name = "short"
match.fields = ["a"]
[[profile.observation]]
property = "power"
value = "a"

[[profile]]
name = "long"
match.fields = ["a", "b"]
match.models = ["EM-100"]
[[profile.observation]]
property = "power"
value = "a"

[[profile]]
name = "longer_model"
like = "long"
match.models = ["EM-100-XL", "EX2*"]

[[profile]]
name = "by_hand"
like = "short"
match.devices = ["pump-*"]
"""


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (Reported("x", fields={"a": 1}), "short"),
        (Reported("x", fields={"a": 1, "b": 1}), "long"),
        (Reported("x", fields={"a": 1}, model=("Acme EM_100 (868)",)), "long"),
        (Reported("x", fields={"a": 1}, model=("acme", "em100xl")), "longer_model"),
        (Reported("x", fields={"a": 1}, model=("EX2345",)), "longer_model"),
        (Reported("x", fields={"a": 1}, model=("EM-1001",)), "short"),
        (Reported("Pump-7", fields={"a": 1}, model=("EM-100",)), "by_hand"),
        (Reported("x", fields={"c": 1}, model=("EM-100",)), None),
        (Reported("x", fields={"c": 1}), None),
    ],
)
def test_the_profile_is_told_by_device_then_model_then_signature(thing: Reported, expected: str | None) -> None:
    profile = book(PROFILES).profile(thing, None)
    assert (profile.name if profile is not None else None) == expected


def test_names_that_are_dropped_anywhere_are_removed_from_kept_messages() -> None:
    devices = book(mapping('drop = ["a"]') + '[[source]]\nname = "s"\ntopics = ["x"]\ndrop = ["b"]\n')
    assert devices.dropped_names == {"a", "b"}


# --- paths, topics, times, patterns ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b[1].c", 3),
        ('"PM2.5"', 12),
        ("Active Power L1.value", 0.4),
        ("a.b[-1].c", 3),
        ("a.b[9].c", MISSING),
        ("a.x.y", MISSING),
        ("nothing", None),
        ("a.b[?c > `2`].c | [0]", 3),
        ("sum(a.b[*].c)", 5),
    ],
)
def test_a_path_leads_where_it_says(path: str, found: object) -> None:
    message = {"a": {"b": [{"c": 2}, {"c": 3}]}, "PM2.5": 12, "Active Power L1": {"value": 0.4}, "nothing": None}
    assert parse_path(path).find(message) == found


def test_a_path_that_cannot_be_evaluated_refuses_the_message() -> None:
    with pytest.raises(DecodeError, match="wrong_shape"):
        parse_path("sum(a)").find({"a": "text"})


@pytest.mark.parametrize(
    ("pattern", "topic", "parts"),
    [
        ("a/{b}", "a/x", {"b": "x"}),
        ("a/{b}", "a/x/y", None),
        ("a/{b}", "a/", None),
        ("a/{b...}", "a/x/y", {"b": "x/y"}),
        ("a/#", "a", {}),
        ("+/b", "a/b", {}),
        ("v1/Things({id:\\d+})/{what}", "v1/Things(12)/Loc", {"id": "12", "what": "Loc"}),
        ("v1/Things({id:\\d+})", "v1/Things(a)", None),
        ("bin-{n}-{side}", "bin-7-left", {"n": "7", "side": "left"}),
        ("a.b/{c}", "aXb/c", None),
    ],
)
def test_a_topic_pattern_takes_a_topic_apart(pattern: str, topic: str, parts: dict[str, str] | None) -> None:
    assert parse_topic(pattern).match(topic.split("/")) == parts


@pytest.mark.parametrize("bad", ["", "a/#/b", "a+/b", "a/{B}", "a/{b}{c}", "{a}/{a}", "a/}", "{a...}/b", "{a:(x)}"])
def test_a_bad_topic_pattern_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_topic(bad)


@pytest.mark.parametrize("bad", ["", "a/#/b", "a+", "a/{b}"])
def test_a_bad_topic_filter_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_filter(bad)


@pytest.mark.parametrize(
    ("value", "time_format", "expected"),
    [
        ("2026-05-04T07:00:00Z", "auto", "2026-05-04T07:00:00+00:00"),
        ("2026-05-04T07:00:00.123456789+02:00", "iso", "2026-05-04T05:00:00.123456+00:00"),
        ("2026-05-04 07:00", "auto", "2026-05-04T13:00:00+00:00"),
        ("2026-05-04 07:00:00 UTC", "auto", "2026-05-04T07:00:00+00:00"),
        ("2026-05-04T09:00:00+02:00[Europe/Madrid]", "auto", "2026-05-04T07:00:00+00:00"),
        ("0x31d0bd20", "epoch_s", "1996-06-26T04:31:28+00:00"),
        (1777878000, "auto", "2026-05-04T07:00:00+00:00"),
        ("1777878000", "auto", "2026-05-04T07:00:00+00:00"),
        (1777878000.25, "auto", "2026-05-04T07:00:00.250000+00:00"),
        (1777878000000, "auto", "2026-05-04T07:00:00+00:00"),
        (1777878000000000, "auto", "2026-05-04T07:00:00+00:00"),
        (1777878000000000000, "auto", "2026-05-04T07:00:00+00:00"),
        (1777878000000, "epoch_ms", "2026-05-04T07:00:00+00:00"),
        ("04.05.2026 01:00", "%d.%m.%Y %H:%M", "2026-05-04T07:00:00+00:00"),
        ("260504070000 +0000", "%y%m%d%H%M%S %z", "2026-05-04T07:00:00+00:00"),
        ("2026/05/04T07:00:00z", "auto", "2026-05-04T07:00:00+00:00"),
        ("2026/5/4 1:00", "auto", "2026-05-04T07:00:00+00:00"),
        ("2026.05.04 01:00:00", "auto", "2026-05-04T07:00:00+00:00"),
        ("2026-05-04 09:00:00 +0200", "auto", "2026-05-04T07:00:00+00:00"),
        ("Mon, 04 May 2026 07:00:00 GMT", "auto", "2026-05-04T07:00:00+00:00"),
        ("Mon, 4 May 2026 09:00:00 +0200", "auto", "2026-05-04T07:00:00+00:00"),
        ("/Date(1777878000000+0200)/", "auto", "2026-05-04T07:00:00+00:00"),
        ("04 May 2026 07:00 GMT", "%d %b %Y %H:%M %Z", "2026-05-04T07:00:00+00:00"),
        ("20260504010000", "auto", "2026-05-04T07:00:00+00:00"),
        (20260504010000, "auto", "2026-05-04T07:00:00+00:00"),
        ("2026-05-04T06:45:00Z/2026-05-04T07:00:00Z", "auto", "2026-05-04T07:00:00+00:00"),
    ],
)
def test_a_time_is_read(value: object, time_format: str, expected: str) -> None:
    assert datetime.fromtimestamp(to_time(value, time_format, MEXICO) / 1e6, UTC).isoformat() == expected


@pytest.mark.parametrize("value", ["yesterday", 210314112233, 12, True, [], "9" * 400, 1e300, "", "0001-01-01"])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(DecodeError, match="impossible_timestamp") as caught:
        to_time(value, "auto", ZoneInfo("Asia/Tokyo")) if value != "0001-01-01" else to_time("", "auto", UTC)
    assert caught.value.reason is RejectReason.IMPOSSIBLE_TIMESTAMP


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b",
        "(a|a)*b",
        "(ab|a|b)*c",
        "(a?b?a?)*c",
        "(a{1,50}){1,50}b",
        "(x+x+)+y",
        "(.*)(.*)(.*)(.*)x",
        r"(\w+)\1",
        "a?" * 20 + "a" * 20,
        r"[\w-]?" * 60,
        "(|a)" * 90 + "b",
        "((a?b?)?c?)?" * 40,
    ],
)
def test_a_pattern_that_may_take_too_long_is_refused(pattern: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=r"too long|not supported"):
        compile_pattern(pattern)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("pattern", ["(" * 90 + "a" + ")?" * 90, "(?:" * 80 + "x" + "|y)" * 80, r"(?:\w+,)" * 60])
def test_deep_and_long_patterns_are_looked_at_in_no_time(pattern: str) -> None:
    began = time.process_time()
    with suppress(ValueError):
        compile_pattern(pattern)
    assert time.process_time() - began < 1.0


@given(
    st.text("ab1 .,", min_size=1, max_size=40),
    st.lists(
        st.sampled_from(["a+", "b*", r"\d+", r"\s*", ".*", "[ab]+", "(a|b)", "1?", "a", ",", r"\w+", "(?:ab)*"]),
        max_size=6,
    ),
)
@settings(max_examples=300, deadline=None)
def test_an_admitted_pattern_is_quick_on_any_text(text: str, pieces: list[str]) -> None:
    try:
        pattern = compile_pattern("".join(pieces) + "#")
    except ValueError:
        return
    began = time.process_time()
    pattern.search((text * 4096)[: pattern.longest])
    assert time.process_time() - began < 2.0


# --- hostile messages ------------------------------------------------------------------------------------------------

ANYTHING = """
[[mapping]]
name = "anything"
topic = "t/{d}"
each = ["$.list || @", { path = "@", key = "k" }]
thing = { path = "id", otherwise = "{d}" }
time = { path = "ts" }
position = { latitude = "^.lat", longitude = "$.lon" }
ignore = [{ skip = true }]

[[mapping.observation]]
property = "power"
value = "p"
leading_number = true
unit = { path = "u", otherwise = "W" }

[[mapping.observation]]
property = { path = "name" }
value = "sum(values) || v"
scale = 2.0

[[mapping.observation]]
property = "speed"
each = "rows[*]"
value = "@"
decimal_comma = true
when = "@ != `null`"
unit = "m/s"
"""

leaf = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(["12 kW", "power", "1,5", "2026-01-01", "°C", "9" * 400]),
)
keys = st.one_of(
    st.sampled_from(["list", "id", "ts", "p", "u", "name", "values", "v", "rows", "skip", "lat"]), st.text(max_size=5)
)
anything = st.recursive(
    leaf, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=6)), max_leaves=30
)


@given(anything)
@settings(max_examples=500, deadline=None)
def test_no_message_brings_anything_but_a_decode_error(message: object) -> None:
    try:
        decoded = read(ANYTHING.replace('otherwise = "{d}"', 'otherwise = "d"'), message)
    except DecodeError:
        return
    assert all(isinstance(each.result, float) for thing in decoded.things for each in thing.observations)


def test_more_records_than_can_be_gone_through_refuse_the_message() -> None:
    with pytest.raises(DecodeError) as caught:
        read(mapping('each = "[*]"'), b"[" + b"1," * 20_000 + b"1]")
    assert caught.value.reason is RejectReason.TOO_LARGE


def test_lists_that_multiply_refuse_the_message() -> None:
    observation = 'property = "power"\neach = "$.rows"\nvalue = "p"'
    with pytest.raises(DecodeError) as caught:
        read(mapping('each = "rows"', observation), {"rows": [{"p": None}] * 5_000})
    assert caught.value.reason is RejectReason.TOO_LARGE


def test_a_path_to_the_whole_message_is_followed_once_however_many_records_ask() -> None:
    text = mapping('each = "rows"\ntime = "$.times[?k==\'x\'].at | [0]"', 'property = "power"\nvalue = "@"')
    message = {"rows": list(range(5_000)), "times": [{"k": "y"}] * 5_000 + [{"k": "x", "at": 1777878000}]}
    raw = json.dumps(message).encode()
    began = time.process_time()
    decoded = read(text, raw)
    assert len(decoded.things[0].observations) == 5_000
    assert time.process_time() - began < 5.0


# --- a running service -----------------------------------------------------------------------------------------------


@pytest.fixture
def pack(tmp_path: Path) -> CityPack:
    import dataclasses

    (tmp_path / "mappings").mkdir()
    return dataclasses.replace(load_pack("cdmx"), path=tmp_path)


def write(pack: CityPack, text: str, age: int) -> None:
    file = pack.path / "mappings" / "m.toml"
    file.write_text(text, encoding="utf-8")
    os.utime(file, ns=(age * 10**9, age * 10**9))


def test_changed_files_are_taken_up_and_faulty_ones_leave_what_runs(pack: CityPack) -> None:
    write(pack, named("a", "t", 1), age=1)
    devices = Devices(pack)
    assert not devices.refresh()
    write(pack, named("a", "t", 2), age=2)
    assert devices.refresh()
    assert result_of(devices.book, "t") == 2
    write(pack, "[[mapping]]\nname = 3\n", age=3)
    assert not devices.refresh()
    assert devices.faults
    assert result_of(devices.book, "t") == 2
    write(pack, named("a", "t", 4), age=4)
    assert devices.refresh()
    assert devices.faults == ()
    assert result_of(devices.book, "t") == 4


def test_an_adopted_document_that_is_faulty_now_is_left_out_at_the_start(pack: CityPack) -> None:
    write(pack, named("a", "t", 1), age=1)
    devices = Devices(pack)
    devices.adopt({"good": named("b", "u", 2), "bad": "[[mapping]]\n"})
    assert any(fault.startswith("bad:") for fault in devices.faults)
    assert (result_of(devices.book, "t"), result_of(devices.book, "u")) == (1, 2)


def test_a_document_goes_before_the_files_of_the_pack(pack: CityPack) -> None:
    write(pack, named("a", "t", 1), age=1)
    devices = Devices(pack)
    assert devices.refresh({"adopted": named("b", "t", 2)})
    assert result_of(devices.book, "t") == 2


def test_a_service_does_not_start_with_a_faulty_pack(pack: CityPack) -> None:
    write(pack, "[[mapping]]\n", age=1)
    with pytest.raises(ConfigurationError, match=r"m\.toml:1: mapping number 1 name: is needed"):
        Devices(pack)


# --- reckoning, bytes, and JSON within JSON ---------------------------------------------------------------------------

READ_A = 'property = "power"\nvalue = "a"\nunit = "W"'


def rows_of(language: str, fields: dict[str, Any]) -> list[dict[str, Any]]:
    answer: dict[str, Any] = dry_run("t/1", json.dumps(fields).encode(), mapping=language)
    found: list[dict[str, Any]] = answer["observations"]
    return found


@pytest.mark.parametrize(
    ("keys", "fields", "result"),
    [
        ("hex = true", {"a": "0x1738"}, 5944),
        ("hex = true", {"a": "1738"}, 5944),
        ("hex = 16", {"a": "0xfffe"}, -2),
        ("hex = 16", {"a": "7fff"}, 32767),
        ('divisor = "d"', {"a": 5, "d": 0}, 5),
        ('divisor = "d"', {"a": 5}, 5),
        ('divisor = "d"', {"a": 5, "d": None}, 5),
        ('factor = "f"\ndivisor = "d"', {"a": 5, "f": "4", "d": 10}, 2),
        ('exponent = "e"', {"a": 12345, "e": -2}, 123.45),
        ("exponent = 3", {"a": 1.5}, 1500),
        ('minus = "b"', {"a": 0.25, "b": 1.5}, -1.25),
        ('minus = "b"', {"a": 0.25}, 0.25),
        ('minus = "b"\nscale = 10\noffset = 1', {"a": 3, "b": 1}, 21),
    ],
)
def test_a_value_is_reckoned_with_others_of_the_message(keys: str, fields: dict[str, Any], result: float) -> None:
    language = mapping(observation=f"{READ_A}\n{keys}")
    (row,) = rows_of(language, fields)
    assert row["result"] == pytest.approx(result)


@pytest.mark.parametrize(
    ("keys", "fields", "reason"),
    [
        ("hex = true", {"a": "12.5"}, "is not a number"),
        ("hex = 16", {"a": "0x12345"}, "is not a number"),
        ('divisor = "d"', {"a": 5, "d": "ten"}, "'ten' at d is not a number"),
        ('exponent = "e"', {"a": 5, "e": 1.5}, "no power of ten"),
        ('exponent = "e"', {"a": 5, "e": -32768}, "no power of ten"),
    ],
)
def test_what_cannot_be_reckoned_is_refused(keys: str, fields: dict[str, Any], reason: str) -> None:
    language = mapping(observation=f"{READ_A}\n{keys}")
    answer = dry_run("t/1", json.dumps(fields).encode(), mapping=language)
    assert answer["outcome"] == "quarantine"
    assert reason in str(answer["reason"])


def test_the_device_may_stand_around_json_within_json() -> None:
    language = mapping('thing = "{$.dev}"\nformat = { type = "json", inside = "body" }', READ_A)
    (row,) = rows_of(language, {"dev": "d-7", "body": '{"a": 20}'})
    assert row["thing_id"] == "d-7"


def test_bytes_are_undecoded_only_where_nothing_was_read() -> None:
    language = mapping('undecoded = "raw"', READ_A)
    assert dry_run("t/1", b'{"raw": "0a0b"}', mapping=language)["outcome"] == "undecoded"
    assert dry_run("t/1", b'{"raw": "0a0b", "a": 20}', mapping=language)["outcome"] == "ingest"
    assert dry_run("t/1", b'{"raw": ""}', mapping=language)["outcome"] == "quarantine"


def test_a_device_outside_the_list_is_hinted_at() -> None:
    language = mapping('thing = { path = "id" }\neach = "list"', READ_A)
    reason = str(dry_run("t/1", b'{"id": 7, "list": [{"a": 1}]}', mapping=language)["reason"])
    assert "^.name or $.name" in reason


def test_a_pattern_that_did_not_look_says_why() -> None:
    language = mapping("""format = { type = "regex", pattern = 'x.*a=(?P<a>[0-9]+)' }""", READ_A)
    reason = str(dry_run("t/1", b"x" * 200 + b" a=1", mapping=language)["reason"])
    assert "204 characters; its pattern looks at 128" in reason


def test_lines_of_json_are_records() -> None:
    language = mapping('thing = { path = "id" }\nformat = { type = "json", lines = true }\neach = "[*]"', READ_A)
    answer: dict[str, Any] = dry_run("t/1", b'{"id": 1, "a": 20}\n\n{"id": 2, "a": 21}\n', mapping=language)
    assert [(row["thing_id"], row["result"]) for row in answer["observations"]] == [("1", 20), ("2", 21)]


# --- which profile ----------------------------------------------------------------------------------------------------

OWN = """
[[profile]]
name = "{name}"
{match}
[[profile.observation]]
property = "distance"
value = "d"
unit = "{unit}"
"""


def chosen(*documents: str) -> float:
    """The distance of a device of which the message tells id, model and field."""
    book = load_devices([], {str(number): text for number, text in enumerate(documents)}, library=False)
    thing = Reported("bin-7", fields={"d": 5, "raw": {"echo": 1}}, model=("acme/lid-3",))
    profile = book.profile(thing, None)
    assert profile is not None
    return profile.read(thing, Context(ZoneInfo("UTC")))[0].result


def own(name: str, match: str, unit: str) -> str:
    return OWN.format(name=name, match=match, unit=unit)


def test_the_profile_of_a_later_document_wins_however_it_finds_the_device() -> None:
    by_model = own("model", 'match.models = ["lid-3"]', "m")
    by_device = own("device", 'match.devices = ["bin-*"]', "dm")
    by_field = own("field", 'match.fields = ["d"]', "cm")
    assert chosen(by_model, by_field) == 50
    assert chosen(by_device, by_field) == 50
    assert chosen(by_field, by_model) == 5000
    assert chosen(by_field + by_model) == 5000
    assert chosen(by_field + by_model + by_device) == 500


def test_a_signature_may_name_a_field_within_another() -> None:
    assert chosen(own("a", 'match.fields = ["d", "raw.echo"]', "cm")) == 50


def test_a_profile_that_nothing_leads_to_is_a_fault() -> None:
    (fault,) = faults(own("mine", "", "cm"))
    assert fault.startswith("f.toml:2: profile 'mine': nothing tells which devices it is for")
    load_devices([], {"f": own("base", "", "cm") + '[[profile]]\nname = "b"\nlike = "base"\nmatch.models = ["b"]\n'})


@pytest.mark.parametrize(
    ("keys", "text", "result"),
    [
        ("leading_number = true\ndecimal_comma = true", "1.013,2 hPa", 1013.2),
        ("leading_number = true\ndecimal_comma = true", "780,3 hPa", 780.3),
        ("leading_number = true", "1.0132 hPa", 1.0132),
    ],
)
def test_numbers_with_groups_of_thousands_before_their_unit(keys: str, text: str, result: float) -> None:
    mapping = (
        '[[mapping]]\nname = "m"\ntopic = "a/{d}"\nthing = "{d}"\n[[mapping.observation]]\nproperty = "pressure"\n'
        f'value = "p"\nunit = "hPa"\n{keys}\n'
    )
    answer: Any = dry_run("a/b", json.dumps({"p": text}).encode(), mapping=mapping)
    assert [row["result"] for row in answer["observations"]] == [result]


@pytest.mark.parametrize(
    ("payload", "hint"),
    [
        ({"p": "1,5"}, "to read it: decimal_comma = true"),
        ({"p": "1.5 bar"}, "to read it: leading_number = true"),
        ({"p": "1,5 bar"}, "to read it: leading_number = true and decimal_comma = true"),
        ({"p": 1.5, "t": "22/11/2026 16:41:14"}, "give its format, such as '%d/%m/%Y %H:%M:%S'"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_key_that_would_read_it(payload: dict[str, object], hint: str) -> None:
    mapping = (
        '[[mapping]]\nname = "m"\ntopic = "a/{d}"\nthing = "{d}"\ntime = "t"\n'
        '[[mapping.observation]]\nproperty = "pressure"\nvalue = "p"\nunit = "bar"\n'
    )
    answer: Any = dry_run("a/b", json.dumps(payload).encode(), mapping=mapping)
    assert answer["outcome"] == "quarantine"
    assert hint in str(answer["reason"])


def test_a_condition_that_is_not_met_is_told_when_nobody_else_knows_the_message() -> None:
    language = mapping('when = { kind = "air" }', READ_A)
    answer = dry_run("t/1", b'{"a": 1}', mapping=language)
    assert "its topic fits mapping:m@" in str(answer["reason"])
    assert "'when'" in str(answer["reason"])
