"""XML and gzip: what they come to, and what is refused before it can do harm."""

import gzip
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.bodies.body import DEEPEST, MOST_ITEMS, Body
from ingest.bodies.gzip_body import LARGEST_UNPACKED, unpacked
from ingest.bodies.xml_body import read_xml, write_xml
from ingest.interpret import LARGEST_MESSAGE, Interpreter, NotUnderstood
from ingest.mapping import load_devices
from ingest.message import Incoming, RawMessage
from pulso.city import load_pack
from pulso.errors import DecodeError, RejectReason

names = st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True).filter(lambda name: name != "text")
texts = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=("Cs", "Cn", "Cc", "Zs", "Cf")), min_size=1
)
contents = st.recursive(
    st.none() | texts,
    lambda inner: st.dictionaries(
        names, inner | st.lists(st.none() | texts, min_size=2, max_size=3), min_size=1, max_size=4
    ),
    max_leaves=12,
)


def refusal(payload: bytes, content_type: str | None = None) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        Body.parse(payload, content_type)
    return caught.value


def xml(payload: bytes) -> object:
    body = Body.parse(payload, None)
    assert body.format == "xml"
    return body.value


def test_attributes_and_elements_are_keys_without_prefixes() -> None:
    sent = b"""<?xml version="1.0" encoding="UTF-8"?>
        <!-- hourly --><s:site xmlns:s="urn:s" s:id="7"><s:t unit="C"> 21.5 </s:t><v><![CDATA[a<b]]></v><e/></s:site>"""
    assert xml(sent) == {"site": {"id": "7", "t": {"unit": "C", "text": "21.5"}, "v": "a<b", "e": None}}


def test_an_element_that_comes_again_makes_a_list() -> None:
    assert xml(b"<r><n>1</n><n/><n><m>3</m></n></r>") == {"r": {"n": ["1", None, {"m": "3"}]}}


def test_a_declared_encoding_is_obeyed() -> None:
    sent = '<?xml version="1.0" encoding="ISO-8859-1"?><r>Calzada Zaragoza, dirección</r>'.encode("latin-1")
    assert xml(sent) == {"r": "Calzada Zaragoza, dirección"}
    assert Body.parse(b"\xef\xbb\xbf <r>1</r>\x00", None).value == {"r": "1"}
    assert Body.parse(b"<r>1</r>", "application/vnd.acme+xml").value == {"r": "1"}


@pytest.mark.parametrize(
    "payload",
    [
        b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><r>&b;</r>',
        b'<!DOCTYPE r SYSTEM "file:///etc/passwd"><r/>',
        b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>',
        b"<!DOCTYPE html><html></html>",
        b"<r>&unknown;</r>",
        b"<r><a></r>",
        b"<r/><r/>",
        b"<r",
        b'<r a="1" a="2"/>',
        b'<?xml version="1.0" encoding="made-up"?><r/>',
        b"<r>\xff</r>",
    ],
)
def test_what_is_dangerous_or_no_xml_is_refused(payload: bytes) -> None:
    assert refusal(payload).reason is RejectReason.MALFORMED


def test_xml_is_bounded_in_depth_and_number() -> None:
    def deep(levels: int) -> bytes:
        return b"<a>" * levels + b"</a>" * levels

    assert xml(deep(DEEPEST))
    assert "deeper" in refusal(deep(DEEPEST + 1)).detail
    assert "more than" in refusal(b"<a>" + b"<b/>" * MOST_ITEMS + b"</a>").detail
    assert "more than" in refusal(b"<a>" + b'<b c="1"/>' * (MOST_ITEMS // 2) + b"</a>").detail


@pytest.mark.parametrize("unit", [b"<a>", b"<a/>", b"<a b='1'/>", b"x", b"&lt;", b"<![CDATA[x]]>", b"<!-- -->", b"<a "])
def test_large_xml_is_read_quickly(unit: bytes) -> None:
    payload = b"<r>" + (unit * LARGEST_MESSAGE)[: LARGEST_MESSAGE - 7] + b"</r>"
    began = time.process_time()
    with suppress(DecodeError):
        Body.parse(payload, None)
    assert time.process_time() - began < 3.0


@given(names, contents)
def test_what_is_written_is_read_again(name: str, value: object) -> None:
    assert read_xml(write_xml({name: value}), DEEPEST, MOST_ITEMS) == {name: value}


@given(st.binary(max_size=300))
def test_any_bytes_are_xml_or_refused(payload: bytes) -> None:
    with suppress(DecodeError):
        assert Body.parse(b"<" + payload, None).format == "xml"


# --- gzip ------------------------------------------------------------------------------------------------------------


def incoming(payload: bytes) -> Incoming:
    return Incoming(RawMessage("a/b", payload, 0))


def test_a_compressed_payload_is_unpacked_for_every_reader() -> None:
    message = incoming(gzip.compress(b'{"a": 1}'))
    assert (message.body, message.text, message.payload) == ({"a": 1}, '{"a": 1}', b'{"a": 1}')
    assert incoming(gzip.compress(b"<a>1</a>")).body == {"a": "1"}
    assert incoming(gzip.compress(b"t|23")).text == "t|23"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (gzip.compress(bytes(LARGEST_UNPACKED + 1)), RejectReason.TOO_LARGE),
        (gzip.compress(bytes(200 << 20)), RejectReason.TOO_LARGE),
        (gzip.compress(b'{"a": 1}')[:-3], RejectReason.MALFORMED),
        (gzip.compress(b'{"a": 1}')[:12] + b"\xff" * 12, RejectReason.MALFORMED),
        (gzip.compress(b"{}") + b"more", RejectReason.MALFORMED),
        (gzip.compress(gzip.compress(b"{}")), RejectReason.MALFORMED),
    ],
)
def test_what_cannot_be_unpacked_is_refused(payload: bytes, reason: RejectReason) -> None:
    began = time.process_time()
    with pytest.raises(DecodeError) as caught:
        _ = incoming(payload).body
    assert caught.value.reason is reason
    assert time.process_time() - began < 0.5
    city = load_pack("cdmx")
    with pytest.raises(NotUnderstood):
        Interpreter(load_devices([], {}, library=False), city.timezone).interpret(RawMessage("a/b", payload, 0))


def test_as_much_is_unpacked_as_may_be_sent() -> None:
    assert len(unpacked(gzip.compress(bytes(LARGEST_UNPACKED)))) == LARGEST_UNPACKED == LARGEST_MESSAGE


def test_what_is_kept_of_a_compressed_message_has_no_plate() -> None:
    interpreter = Interpreter(load_devices([], {}, library=False), load_pack("cdmx").timezone)
    message = RawMessage("a/b", gzip.compress(b'<e><i name="plate">AB-12</i><v>3</v></e>'), 0)
    assert b"AB-12" not in gzip.decompress(interpreter.redacted(message))
