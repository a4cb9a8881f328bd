"""The quick reader of PUBLISH packets against the client library's own, on packets as brokers send them."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.publish_packets import Publish, leading_publishes

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


def encoded_length(value: int) -> bytes:
    encoded = bytearray()
    while True:
        value, low = divmod(value, 128)
        encoded.append(low | (0x80 if value else 0))
        if not value:
            return bytes(encoded)


@st.composite
def packets(draw: st.DrawFn, *, version_5: bool) -> bytes:
    """A PUBLISH packet, now and then of QoS 2 or with a topic alias."""
    qos = draw(st.sampled_from([0, 1, 1, 1, 2]))
    first = 0x30 | draw(st.sampled_from([0, 8])) * bool(qos) | qos << 1 | draw(st.integers(0, 1))
    topic = draw(st.one_of(TEXT.map(str.encode), st.binary(max_size=8), st.just(b"$SYS/x")))
    body = struct.pack("!H", len(topic)) + topic
    if qos:
        body += struct.pack("!H", draw(st.integers(1, 65535)))
    if version_5:
        properties = Properties(PacketTypes.PUBLISH)
        if draw(st.booleans()):
            properties.ContentType = draw(TEXT)
        if draw(st.booleans()):
            properties.UserProperty = [(draw(TEXT), draw(TEXT))]
        if draw(st.booleans()):
            properties.MessageExpiryInterval = draw(st.integers(0, 2**32 - 1))
        if draw(st.booleans()):
            properties.ResponseTopic = draw(TEXT)
        if draw(st.booleans()):
            properties.CorrelationData = draw(st.binary(max_size=10))
        if draw(st.booleans()):
            properties.SubscriptionIdentifier = draw(st.integers(1, 268_435_455))
        if draw(st.integers(0, 5)) == 0:
            properties.TopicAlias = draw(st.integers(1, 100))
        body += properties.pack()
    body += draw(st.binary(max_size=300))
    return bytes([first]) + encoded_length(len(body)) + body


def by_the_library(packet: bytes, version: MQTTProtocolVersion) -> Publish:
    header = 1
    while packet[header] & 0x80:
        header += 1
    told = _packet.decode_publish(packet[0], packet[header + 1 :], version)
    content_type = getattr(told.properties, "ContentType", None) or None
    (subscription,) = getattr(told.properties, "SubscriptionIdentifier", (0,))
    return Publish(told.topic, told.payload, told.mid, told.qos, told.dup, told.retain, content_type, subscription)


def is_plain(packet: Publish, raw: bytes, version: MQTTProtocolVersion) -> bool:
    header = 1
    while raw[header] & 0x80:
        header += 1
    properties = _packet.decode_publish(raw[0], raw[header + 1 :], version).properties
    return packet.qos < 2 and packet.topic[:1] not in (b"", b"$") and not hasattr(properties, "TopicAlias")


@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
@given(data=st.data())
def test_what_is_read_is_what_the_library_reads(version: MQTTProtocolVersion, data: st.DataObject) -> None:
    version_5 = version is MQTTProtocolVersion.MQTTv5
    sent = data.draw(st.lists(packets(version_5=version_5), max_size=6))
    stream = b"".join(sent)
    cut = data.draw(st.integers(0, len(stream)))
    found, rest = leading_publishes(b"\xff" + stream[:cut], 1, version_5=version_5)

    length = 0
    for raw, packet in zip(sent, found, strict=False):
        assert packet == by_the_library(raw, version)
        assert is_plain(packet, raw, version)
        length += len(raw)
    assert rest == 1 + length, "the rest begins after the last packet that was read"
    if len(found) < len(sent) and length + len(sent[len(found)]) <= cut:  # a complete one was left
        left = sent[len(found)]
        with contextlib.suppress(struct.error, UnicodeDecodeError, MalformedPacket):
            assert not is_plain(by_the_library(left, version), left, version)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_left(data: bytes, version_5: bool) -> None:
    found, rest = leading_publishes(data, 0, version_5=version_5)
    assert 0 <= rest <= len(data)
    assert bool(found) == (rest > 0)
