"""Payload bytes to values: three formats, told or guessed, within bounds."""

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.bodies.body import DEEPEST, MOST_ITEMS, Body
from pulso.errors import DecodeError, RejectReason

TREE: dict[str, Any] = {"name": "Estación 7", "values": [1, 2.5, -3, None, True], "nested": {"a": {"b": []}}}


def refusal(payload: bytes, content_type: str | None = None) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        Body.parse(payload, content_type)
    return caught.value


@pytest.mark.parametrize(
    ("payload", "content_type", "expected"),
    [
        (json.dumps(TREE).encode(), "application/json", "json"),
        (json.dumps(TREE).encode(), "Application/JSON; charset=utf-8", "json"),
        (json.dumps(TREE).encode(), "application/ld+json", "json"),
        (json.dumps(TREE).encode(), "text/plain", "json"),
        (json.dumps(TREE).encode(), "application/octet-stream", "json"),
        (json.dumps(TREE).encode(), None, "json"),
        (b"\xef\xbb\xbf" + json.dumps(TREE).encode(), None, "json"),
        (cbor2.dumps(TREE), "application/cbor", "cbor"),
        (cbor2.dumps(TREE), "application/vnd.acme+cbor", "cbor"),
        (cbor2.dumps(TREE), None, "cbor"),
        (b"\xd9\xd9\xf7" + cbor2.dumps(TREE), "application/octet-stream", "cbor"),
        (msgspec.msgpack.encode(TREE), "application/msgpack", "msgpack"),
        (msgspec.msgpack.encode(TREE), "application/x-msgpack", "msgpack"),
        (msgspec.msgpack.encode(TREE), "application/vnd.msgpack", "msgpack"),
        (msgspec.msgpack.encode(TREE), None, "msgpack"),
    ],
)
def test_the_same_values_are_read_from_every_format(payload: bytes, content_type: str | None, expected: str) -> None:
    assert Body.parse(payload, content_type) == Body(TREE, expected)  # type: ignore[arg-type]


def test_a_content_type_is_taken_at_its_word() -> None:
    assert refusal(cbor2.dumps(TREE), "application/json").reason is RejectReason.MALFORMED
    assert refusal(json.dumps(TREE).encode(), "application/cbor").reason is RejectReason.MALFORMED
    assert refusal(cbor2.dumps([1.5, "a", 2]), "application/msgpack").reason is RejectReason.MALFORMED


def test_a_lone_value_of_a_binary_format_needs_its_content_type() -> None:
    assert Body.parse(cbor2.dumps(23.5), "application/cbor").value == 23.5
    assert refusal(cbor2.dumps(23.5)).reason is RejectReason.MALFORMED


@pytest.mark.parametrize(
    "text", ["hello", "OK", "21.5 °C", "ñandú", "ܐܒܓ", "t|23.1|h|40", "speed=31", "\x00", "{'a': 1}"]
)
def test_text_that_is_no_json_stays_malformed(text: str) -> None:
    assert refusal(text.encode()).reason is RejectReason.MALFORMED


@pytest.mark.parametrize("payload", [b"\xff\xfe", bytes(range(256)), b"\x81\xe0", b"\x82\xff\xff\xff\xff", b"\x80\x80"])
def test_bytes_of_no_format_are_malformed(payload: bytes) -> None:
    assert refusal(payload).reason is RejectReason.MALFORMED


def test_no_bytes_are_empty() -> None:
    assert refusal(b"").reason is RejectReason.EMPTY


def test_text_is_read_without_its_byte_order_mark() -> None:
    assert Body.text(b"\xef\xbb\xbf21.5") == "21.5"
    with pytest.raises(DecodeError) as caught:
        Body.text(b"\xff")
    assert caught.value.reason is RejectReason.MALFORMED


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (datetime(2026, 11, 22, 18, tzinfo=UTC), "2026-11-22T18:00:00Z"),
        (cbor2.CBORTag(1, 1795370400.5), 1795370400.5),
        (Decimal("21.50"), 21.5),
        (cbor2.CBORTag(5, [-1, 3]), 1.5),
        (Fraction(1, 4), 0.25),
        (2**70, 2**70),
        (-(2**70), -(2**70)),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (cbor2.CBORTag(32, "https://example.org"), "https://example.org"),
        (cbor2.CBORTag(35, "(a+)+$"), "(a+)+$"),
        (b"\xfb\xff", "-_8"),
        (float("nan"), None),
        (float("-inf"), None),
        (cbor2.undefined, None),
    ],
)
def test_what_json_has_not_is_written_as_json_would(sent: object, read: object) -> None:
    assert Body.parse(cbor2.dumps({"x": sent}), None).value == {"x": read}


def test_times_and_bytes_of_messagepack_become_text() -> None:
    sent = {"t": datetime(2026, 11, 22, 18, tzinfo=UTC), "b": b"\xfb\xff", "n": float("nan")}
    assert Body.parse(msgspec.msgpack.encode(sent), None).value == {"t": "2026-11-22T18:00:00Z", "b": "-_8", "n": None}


def test_integers_as_keys_become_text() -> None:
    assert Body.parse(cbor2.dumps([{-2: "urn:dev:x", 2: 1.5}]), None).value == [{"-2": "urn:dev:x", "2": 1.5}]
    assert Body.parse(msgspec.msgpack.encode({"a": {7: 1}}), None).value == {"a": {"7": 1}}


def test_strings_and_maps_without_length_are_read() -> None:
    assert Body.parse(b"\xbf\x61a\x9f\x01\xff\x61b\x7f\x61x\x61y\xff\xff", None).value == {"a": [1], "b": "xy"}


@pytest.mark.parametrize("encode", [lambda tree: json.dumps(tree).encode(), cbor2.dumps, msgspec.msgpack.encode])
def test_of_two_equal_keys_the_last_counts(encode: Any) -> None:
    once, twice = encode({"a": 1, "b": 2}), encode({"a": 1, "c": 2}).replace(b"c", b"a")
    assert len(once) == len(twice)
    assert Body.parse(twice, None).value == {"a": 2}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xd8\x1c\x81\xd8\x1d\x00", "tag 28"),  # a list that holds itself
        (b"\xd9\x01\x00\x81\xd8\x19\x00", "tag 256"),  # strings by reference
        (b"\xd9\x01\x02\x81\x01", "tag 258"),  # a set
        (b"\xc2\x51" + b"\xff" * 17, "bignum"),
        (b"\xc4\x82\x1a\x7f\xff\xff\xff\x01", "exponent"),
        (b"\xc5\x82\x1a\x7f\xff\xff\xff\x01", "exponent"),
        (b"\xc4\x82\x19\x03\xe8\x01", "larger than a double"),
        (b"\xc5\x82\x19\x07\xcf\x01", "larger than a double"),
        (b"\xd8\x1e\x82\x01\x00", "denominator"),
        (b"\xa1\x82\x01\x02\x03", "key"),
        (b"\xa1\xc2\x49" + b"\x01" * 9 + b"\x03", "key"),
        (b"\xa1\x1b" + b"\x01" * 8 + b"\x03", "key"),
        (b"\x81\xf8\x21", "simple value"),
        (b"\x81\x7f\x41a\xff", "string"),
        (b"\x81\x62\xff\xfe", "CBOR"),  # no UTF-8
        (b"\x9b" + b"\xff" * 8, "ends within"),
        (b"\x01\x02", "follow"),
    ],
)
def test_cbor_that_could_harm_is_refused_with_a_reason(content: bytes, why: str) -> None:
    error = refusal(content, "application/cbor")
    assert error.reason is RejectReason.MALFORMED
    assert why in error.detail


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x81\x92\x01\x02\x03", "key"),
        (b"\x81\xcf" + b"\x01" * 8 + b"\x03", "key"),
        (b"\x91\xd4\x05\x00", "extension type 5"),
        (b"\x91\xc1", "0xc1"),
        (b"\xdd\xff\xff\xff\xff", "ends within"),
        (b"\x91\xa1\xff", "MessagePack"),  # no UTF-8
        (b"\x01\x02", "follow"),
    ],
)
def test_messagepack_that_could_harm_is_refused_with_a_reason(content: bytes, why: str) -> None:
    error = refusal(content, "application/msgpack")
    assert error.reason is RejectReason.MALFORMED
    assert why in error.detail


def nested(levels: int) -> list[Any]:
    tree: list[Any] = []
    for _ in range(levels - 1):
        tree = [tree]
    return tree


@pytest.mark.parametrize(
    ("content_type", "encode"),
    [
        ("application/json", lambda tree: json.dumps(tree).encode()),
        ("application/cbor", cbor2.dumps),
        ("application/msgpack", msgspec.msgpack.encode),
    ],
)
def test_depth_and_number_of_values_are_bounded(content_type: str, encode: Any) -> None:
    assert Body.parse(encode(nested(DEEPEST)), content_type).value == nested(DEEPEST)
    assert "deeper" in refusal(encode(nested(DEEPEST + 1)), content_type).detail
    assert len(Body.parse(encode([0] * (MOST_ITEMS - 1)), content_type).value) == MOST_ITEMS - 1  # type: ignore[arg-type]
    assert "more than" in refusal(encode([0] * (MOST_ITEMS + 1)), content_type).detail


def test_brackets_and_commas_within_text_do_not_count() -> None:
    tree = {"text": "[" * 200 + "," * (MOST_ITEMS + 1)}
    assert Body.parse(json.dumps(tree).encode(), None).value == tree


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b"1" * 1_000_000,
        b"-" + b"9" * 1_000_000,
        b"1e999999",
        b"[" + b"1e400," * 100_000 + b"1]",
        b'"' + b"\\ud800" * 100_000 + b'"',
        b"\x81" * 1_000_000,
        b"\x9f" * 1_000_000,
        b"\xc2" * 1_000_000,
        b"\x9a\x00\x0f\x00\x00" + b"\x00" * 1_000_000,
        b"\xdf\x00\x0f\x00\x00" + b"\x00" * 1_000_000,
        cbor2.dumps({cbor2.CBORTag(2, (i * ((1 << 61) - 1)).to_bytes(16, "big")): i for i in range(10_000)}),
    ],
)
def test_hostile_bytes_are_refused_in_bounded_time(payload: bytes) -> None:
    started = time.process_time()
    for content_type in (None, "application/json", "application/cbor", "application/msgpack"):
        refusal(payload, content_type)
    assert time.process_time() - started < 5


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
trees = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)


@given(tree=st.dictionaries(st.text(min_size=1), trees, min_size=1) | st.lists(trees, min_size=1))
def test_whatever_was_encoded_is_read_again(tree: Any) -> None:
    for content_type, payload in (
        ("application/json", json.dumps(tree).encode("utf-8", "surrogatepass")),
        ("application/cbor", cbor2.dumps(tree)),
        ("application/msgpack", msgspec.msgpack.encode(tree)),
    ):
        assert Body.parse(payload, content_type).value == tree


begun = st.builds(
    bytes.__add__,
    st.sampled_from([b"", b"\x81", b"\x82", b"\xa1", b"\xa1\x61a", b"\x91", b"\xbf", b"\x9f", b"\xdc\x00\x01"]),
    st.binary(max_size=100),
)


@given(payload=begun, content_type=st.sampled_from([None, "application/cbor", "application/msgpack"]))
def test_any_bytes_are_values_like_json_or_refused(payload: bytes, content_type: str | None) -> None:
    """Also those that begin like a map or a list of a binary format."""
    try:
        value = Body.parse(payload, content_type).value
    except DecodeError:
        return
    json.dumps(value, allow_nan=False)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_in_json_is_none(word: str) -> None:
    assert Body.parse(f'{{"t": {word}, "h": [44, {word}]}}'.encode(), None).value == {"t": None, "h": [44, None]}
    assert Body.parse(f'{{"note": "t:{word}"}}'.encode(), None).value == {"note": f"t:{word}"}


def test_the_end_of_a_string_of_c_is_no_part_of_json() -> None:
    assert Body.parse(b'{"t": 1}\x00', None).value == {"t": 1}
