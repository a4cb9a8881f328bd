"""MessagePack from devices we do not trust: what it may hold is checked before msgspec reads it.

msgspec builds the objects while it reads, and keys that are arrays or large numbers, with hash values of a sender's
choice, make a dict slow beyond all bounds.
"""

import msgspec

from ingest.bodies.binary_reader import BinaryReader
from pulso.errors import DecodeError, RejectReason

_decoder = msgspec.msgpack.Decoder()
_TIMESTAMP = 0xFF  # extension type -1
_SIZES = {0xCA: 4, 0xCB: 8, **{code + step: 1 << step for code in (0xCC, 0xD0) for step in range(4)}}
_LENGTHS = {code + step: 1 << step for code in (0xC4, 0xC7) for step in range(3)} | {
    code + step: size
    for code, sizes in ((0xD9, (1, 2, 4)), (0xDC, (2, 4)), (0xDE, (2, 4)))
    for step, size in enumerate(sizes)
}


def read_msgpack(payload: bytes, deepest: int, most_items: int) -> object:
    """The one value that `payload` holds: dict, list, str, bytes, int, float, bool, None, datetime (aware, UTC).

    Keys are text or integers of 33 bits; of the extension types only the timestamp is read. Raises DecodeError
    (malformed).
    """
    reader = BinaryReader(payload, "MessagePack", deepest, most_items)
    _check(reader, 0)
    reader.finish()
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
        raise DecodeError(RejectReason.MALFORMED, f"not MessagePack: {error}"[:300]) from None


def _check(reader: BinaryReader, depth: int) -> int:
    """Check one item and what is in it; its first byte."""
    first = reader.item(depth)
    if first < 0x80 or first >= 0xE0 or first in (0xC0, 0xC2, 0xC3):
        return first
    if first in _SIZES:
        reader.skip(_SIZES[first])
    elif first < 0x90:
        _check_map(reader, first & 0x0F, depth)
    elif first < 0xA0:
        _check_array(reader, first & 0x0F, depth)
    elif first < 0xC0:
        reader.skip(first & 0x1F)
    elif 0xD4 <= first <= 0xD8:
        _check_extension(reader, 1 << (first - 0xD4))
    elif first in _LENGTHS:
        _check_long(reader, first, reader.number(_LENGTHS[first]), depth)
    else:
        raise reader.fault("0xc1 is never used")
    return first


def _check_long(reader: BinaryReader, first: int, length: int, depth: int) -> None:
    """Check an item that is preceded by its length."""
    if first in (0xDE, 0xDF):
        _check_map(reader, length, depth)
    elif first in (0xDC, 0xDD):
        _check_array(reader, length, depth)
    elif 0xC7 <= first <= 0xC9:
        _check_extension(reader, length)
    else:
        reader.skip(length)


def _check_array(reader: BinaryReader, length: int, depth: int) -> None:
    for _ in range(length):
        _check(reader, depth + 1)


def _check_map(reader: BinaryReader, length: int, depth: int) -> None:
    for _ in range(length):
        start = reader.position
        first = _check(reader, depth + 1)
        is_text = 0xA0 <= first <= 0xBF or 0xD9 <= first <= 0xDB
        is_integer = first < 0x80 or first >= 0xE0 or 0xCC <= first <= 0xD3
        if not is_text and not (is_integer and reader.position - start <= 5):
            raise reader.fault("the key of a map is neither text nor a small integer")
        _check(reader, depth + 1)


def _check_extension(reader: BinaryReader, length: int) -> None:
    kind = reader.number(1)
    if kind != _TIMESTAMP:
        raise reader.fault(f"extension type {kind} is not supported")
    reader.skip(length)
