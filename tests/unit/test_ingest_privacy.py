"""Personal fields: found by their names, removed from what is kept, everything else as it was sent."""

import gzip
import json
import time
import zlib
from collections.abc import Callable
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.privacy import REMOVED, is_personal, redact, redact_topic, without_personal


@pytest.mark.parametrize(
    "name",
    [
        "plate", "licensePlate", "LICENSE_PLATE", "vehicle.number-plate", "plates", "vehicleLicensePlateNumber",
        "matrícula", "numero_placa", "Kennzeichen", "plaqueImmatriculation", "kenteken", "placa",
        "driverName", "phone", "Teléfono", "e-mail", "customerEmail", "wifi_ssid", "BSSID", "mpan", "curp", "rfidTag",
    ],
)  # fmt: skip
def test_a_personal_name_is_known_however_it_is_written(name: str) -> None:
    assert is_personal(name)


@pytest.mark.parametrize(
    "name",
    [
        "template", "temperatura_placa", "hotplate_temp", "name", "deviceName", "id", "address", "mac", "device_id",
        "speed", "platform", "emailed_at_count", "telephony_rssi", "displayName", "plateConfidence",
    ],
)  # fmt: skip
def test_a_harmless_name_is_left_alone(name: str) -> None:
    assert not is_personal(name)


def test_the_values_of_personal_fields_are_removed_and_nothing_else_changes() -> None:
    sent = b'{ "speed":31.50 ,\t"licensePlate" : "AB-\\"12" ,"owner_name":{"a":["}",1]}, "driver":null,"n":1e5 }\n'
    kept = (
        b'{ "speed":31.50 ,\t"licensePlate" : "[removed]" ,"owner_name":"[removed]", "driver":"[removed]","n":1e5 }\n'
    )
    assert redact(sent, "json") == kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b'{"plate": "AB-12', b'{"plate": "[removed]"'),
        (b'{"plate": {"text": "AB-12"', b'{"plate": "[removed]"'),
        (b'{"speed": 3, "plate": AB-12, "x": 1', b'{"speed": 3, "plate": "[removed]", "x": 1'),
        (b'\xff{"plate":"A","b":"\xff"}', b'\xff{"plate":"[removed]","b":"\xff"}'),
        (b'{"pl\\u0061te": "AB"}', b'{"pl\\u0061te": "[removed]"}'),
        (b'{"plate":', b'{"plate":'),
        (b'{"speed: 3, "plate": "AB-12"}', b'{"speed: 3, "plate": "[removed]"}'),
        (b"{'plate': 'AB 12', 'v': 3}", b"{'plate': '[removed]', 'v': 3}"),
        (b"speed=30;plate=AB-12;lane=2", b"speed=30;plate=[removed];lane=2"),
        (b'{"url": "/?plate=AB-12&x=1"}', b'{"url": "/?plate=[removed]&x=1"}'),
        (b'{"in": "{\\"plate\\": \\"AB 12\\", \\"v\\": 1}"}', b'{"in": "{\\"plate\\": \\"[removed]\\", \\"v\\": 1}"}'),
        (b"no json", b"no json"),
    ],
)
def test_malformed_json_is_redacted_too(sent: bytes, kept: bytes) -> None:
    assert redact(sent, "json") == kept


def test_names_of_a_mapping_are_removed_in_any_case() -> None:
    assert redact(b'{"Operator": "x", "v": 1}', "json", ["operator"]) == b'{"Operator": "[removed]", "v": 1}'


def test_binary_messages_are_redacted_by_encoding_them_anew() -> None:
    message = {"speed": 3, "vehicle": [{"plate": "AB-12", "length": 4.5}]}
    expected = {"speed": 3, "vehicle": [{"plate": REMOVED, "length": 4.5}]}
    assert cbor2.loads(redact(cbor2.dumps(message), "cbor")) == expected
    assert msgspec.msgpack.decode(redact(msgspec.msgpack.encode(message), "msgpack")) == expected


def test_binary_messages_without_personal_fields_stay_as_they_are() -> None:
    for body_format, payload in (("cbor", b"\xa1\x61a\x18\x01"), ("msgpack", msgspec.msgpack.encode({"a": 1}))):
        assert redact(payload, body_format) == payload


@given(st.binary(max_size=200), st.sampled_from(["json", "cbor", "msgpack", "protobuf"]))
def test_redaction_takes_any_bytes(payload: bytes, body_format: str) -> None:
    assert isinstance(redact(payload, body_format), bytes)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=6), st.sampled_from(["plate", "phone", "a"])), inner, max_size=4),
    ),
    max_leaves=20,
)


@given(values)
def test_text_and_values_are_redacted_alike(value: Any) -> None:
    assert json.loads(redact(json.dumps(value).encode(), "json")) == without_personal(value)


@pytest.mark.parametrize(
    "unit",
    [
        b'{"plate":',
        b'"plate":[',
        b'"',
        b'"plate":"',
        b'"\\',
        b'"plate":[[',
        b"{",
        b"plate=",
        b"a",
        b"a ",
        b"\\",
        b"<plate>",
        b"<plate",
        b"<plate>a",
        b"<plate><![CDATA[",
        b"<a ",
        b"<a:",
        b'{"name":"plate","value":[',
    ],
)
def test_redaction_of_a_large_message_is_quick(unit: bytes) -> None:
    payload = (unit * (1 << 20))[: 1 << 20]
    began = time.process_time()
    redact(payload, "json")
    assert time.process_time() - began < 5.0


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"<e><plate>AB 12</plate><v>3</v></e>", b"<e><plate>[removed]</plate><v>3</v></e>"),
        (b'<e><a:Plate type="x">AB-12</a:Plate><v>3</v>', b'<e><a:Plate type="x">[removed]</a:Plate><v>3</v>'),
        (b'<car plate="AB-12" v="3"/>', b'<car plate="[removed]" v="3"/>'),
        (b"<plate>\n<![CDATA[AB-12]]>\n</plate>", b"<plate>\n<![CDATA[[removed]]]>\n</plate>"),
        (b"<e><plate><score>0.9</score></plate></e>", b"<e><plate>[removed]</plate></e>"),
        (b'<p><i name="plate">AB-12</i><i n="v">3</i></p>', b"<p><i><name>plate</name><text>[removed]</text></i>"),
        (b"<p><lpr><text>AB-12</text><v>3</v></lpr></p>", b"<p><lpr><text>[removed]</text><v>3</v></lpr></p>"),
    ],
)
def test_xml_is_redacted(sent: bytes, kept: bytes) -> None:
    for body_format in ("json", "xml"):
        assert redact(sent, body_format).startswith(kept)


def test_a_text_that_looks_like_a_plate_is_removed_where_its_name_may_be_one() -> None:
    sent: dict[str, object] = {"reg": "AB12 CDE", "plate_utf": "СА 1234", "vrn": 230.1, "plateColor": "white"}
    kept = sent | {"reg": REMOVED, "plate_utf": REMOVED}
    assert without_personal(sent) == kept
    assert redact(b'{"reg": "AB12 CDE", "reg_no": 40001', "json") == b'{"reg": "[removed]", "reg_no": 40001'
    assert redact(b"reg=AB12CDE;speed=43", "json") == b"reg=[removed];speed=43"
    assert redact(b'{"note": "a < b", "f": [{"name": "plate", "value": "AB-12"}]}', "json").count(b"AB-12") == 0


def test_what_is_compressed_is_redacted_in_its_own_format() -> None:
    packed = gzip.compress(msgspec.msgpack.encode({"plate": "AB-12", "v": 3}))
    assert msgspec.msgpack.decode(gzip.decompress(redact(packed, "msgpack"))) == {"plate": REMOVED, "v": 3}
    assert redact(gzip.compress(gzip.compress(b'{"plate": "AB-12"}')), "json") == REMOVED.encode()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"name": "plate", "value": "AB-12"}, {"name": "plate", "value": REMOVED}),
        ([{"n": "licensePlate", "vs": "AB-12"}], [{"n": "licensePlate", "vs": REMOVED}]),
        ({"ObjectType": "Plate", "Text": "AB-12"}, {"ObjectType": "Plate", "Text": REMOVED}),
        ({"type": "car", "value": 12}, {"type": "car", "value": 12}),
        ({"lpr": {"text": "AB-12", "speed": 4}}, {"lpr": {"text": REMOVED, "speed": 4}}),
        ({"anpr": [{"value": "AB-12"}], "alpr": "AB-12"}, {"anpr": [{"value": REMOVED}], "alpr": REMOVED}),
        ({"name": "speed", "value": 3, "text": "x"}, {"name": "speed", "value": 3, "text": "x"}),
    ],
)
def test_a_value_is_removed_for_the_name_beside_or_around_it(sent: object, kept: object) -> None:
    assert without_personal(sent) == kept
    assert json.loads(redact(json.dumps(sent).encode(), "json")) == kept


@pytest.mark.parametrize(("pack", "unpack"), [(gzip.compress, gzip.decompress), (zlib.compress, zlib.decompress)])
def test_compressed_text_is_redacted(pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes]) -> None:
    assert unpack(redact(pack(b'{"plate": "AB-12", "v": 3}'), "json")) == b'{"plate": "[removed]", "v": 3}'
    harmless = pack(b'{"v": 3}')
    assert redact(harmless, "json") == harmless
    assert redact(b"x: 1, plate=AB-12", "json") == b"x: 1, plate=[removed]"


def test_what_unpacks_to_too_much_is_not_kept() -> None:
    assert redact(gzip.compress(bytes(5 << 20)), "json") == REMOVED.encode()


def test_a_plate_in_a_topic_is_removed() -> None:
    assert redact_topic("anpr/cam-14/plate/AB-12") == "anpr/cam-14/plate/[removed]"
    assert redact_topic("anpr/plate=AB-12/x") == "anpr/plate=[removed]/x"
    assert redact_topic("plates") == "plates"
    assert redact_topic("depot/operator/ana", ["operator"]) == "depot/operator/[removed]"
