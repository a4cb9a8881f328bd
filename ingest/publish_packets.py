"""PUBLISH packets straight from the bytes of a connection (MQTT 5.0, 3.3; MQTT 3.1.1, 3.3). Pure.

Only what nearly all packets are is read here: complete, QoS 0 or 1, well-formed, without a topic alias, not of a `$`
topic. Anything else is left where it lies for the client library, which knows the protocol in full.
"""

from typing import NamedTuple

_CONTENT_TYPE = 0x03
_FIXED = {0x01: 1, 0x02: 4}  # payload format indicator, message expiry interval
_STRINGS = {_CONTENT_TYPE: 1, 0x08: 1, 0x09: 1, 0x26: 2}  # with response topic, correlation data, user property
_SUBSCRIPTION_ID = 0x0B
_DOLLAR = 0x24


class Publish(NamedTuple):
    """One packet. `topic` as its bytes, which may be no UTF-8; `mid` is 0 for QoS 0.

    `subscription` is the identifier of the subscription it is sent for, 0 where that has none.
    """

    topic: bytes
    payload: bytes
    mid: int
    qos: int
    dup: bool
    retain: bool
    content_type: str | None
    subscription: int = 0


def leading_publishes(data: bytes, start: int, *, version_5: bool) -> tuple[list[Publish], int]:
    """The packets at the head of `data` from `start` on, and where the rest begins.

    Stops at the first packet that is not complete or not of the plain kind. Time grows with what is read only.
    """
    found: list[Publish] = []
    end = len(data)
    while end - start >= 2:
        first = data[start]
        if first & 0xF4 != 0x30:  # another packet, or QoS 2
            break
        length, body = data[start + 1], start + 2
        if length > 127:
            length, body = _variable_integer(data, start + 1, min(end, start + 5))
        after = body + length
        if length < 0 or after > end:
            break
        packet = _read(data, body, after, first, version_5=version_5)
        if packet is None:
            break
        found.append(packet)
        start = after
    return found, start


def _read(data: bytes, position: int, after: int, first: int, *, version_5: bool) -> Publish | None:
    """The packet whose variable header begins at `position` and which ends before `after`; None if it is not plain."""
    qos = first >> 1 & 1
    begin = position + 2
    position = begin + (data[begin - 2] << 8 | data[begin - 1]) if begin <= after else after + 1
    header_end = position + 2 * qos
    if header_end > after or position == begin or data[begin] == _DOLLAR:
        return None
    topic = data[begin:position]
    mid = data[position] << 8 | data[position + 1] if qos else 0
    if qos and not mid:
        return None
    content_type: str | None = None
    subscription = 0
    if version_5:
        if header_end >= after:
            return None
        length, header_end = _variable_integer(data, header_end, after)
        if length < 0 or header_end + length > after:
            return None
        if length:
            told = _properties(data, header_end, header_end + length)
            if told is None:
                return None
            content_type, subscription = told
            header_end += length
    dup, retain = bool(first & 0x08), bool(first & 0x01)
    return Publish(topic, data[header_end:after], mid, qos, dup, retain, content_type, subscription)


def _properties(data: bytes, position: int, end: int) -> tuple[str | None, int] | None:
    """Content type and (first) subscription identifier among the properties; None if they are not plain."""
    told: bytes | None = None
    subscription = 0
    while position < end:
        name, position = data[position], position + 1
        if name in _STRINGS:
            for _ in range(_STRINGS[name]):
                if position + 2 > end:
                    return None
                begin = position + 2
                position = begin + (data[position] << 8 | data[position + 1])
            if name == _CONTENT_TYPE:
                if told is not None:
                    return None
                told = data[begin:position]
        elif name in _FIXED:
            position += _FIXED[name]
        elif name == _SUBSCRIPTION_ID:
            identifier, position = _variable_integer(data, position, end)
            if identifier < 0:
                return None
            subscription = subscription or identifier
        else:  # a topic alias, which we allow nobody, or no property of PUBLISH
            return None
    if position != end:
        return None
    return None if not told else told.decode("utf-8", "backslashreplace"), subscription


def _variable_integer(data: bytes, position: int, end: int) -> tuple[int, int]:
    """A variable byte integer (MQTT 5.0, 1.5.5) and where it ends; -1 if it is not complete or too long."""
    value = 0
    for shift in (0, 7, 14, 21):
        if position >= end:
            break
        byte, position = data[position], position + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return -1, position
