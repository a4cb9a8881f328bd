"""CBOR (RFC 8949) from devices we do not trust: what it may hold is checked before cbor2 reads it.

cbor2 builds the objects while it reads, and what it builds from tags (regular expressions, messages, shared and cyclic
values) or as keys of a map (numbers of any length, whole arrays, with hash values of a sender's choice) cannot be
bounded afterwards.
"""

import math
from collections.abc import Callable
from io import BytesIO
from types import MappingProxyType
from uuid import UUID

import cbor2

from ingest.bodies.binary_reader import BinaryReader
from pulso.errors import DecodeError, RejectReason

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_INDEFINITE = 31
_BREAK = 0xFF
_LONGEST_NUMBER = 16  # bytes
_UUID_BYTES = 16
_LARGEST_EXPONENT = 2000  # far beyond what a double holds, in base 2 and in base 10


def read_cbor(payload: bytes, deepest: int, most_items: int) -> object:
    """The one value that `payload` holds: dict, list, str, bytes, int, float, bool, None.

    Keys are text or integers of 33 bits. Tags: date and time (0, 1, 100, 1004), bignum up to 128 bits (2, 3), decimal
    fraction, bigfloat and rational number (4, 5, 30), UUID (37), and those that only hint at the use of text or bytes
    (21 to 24, 32 to 36, 63, 55799); any other is refused. Raises DecodeError (malformed).
    """
    reader = BinaryReader(payload, "CBOR", deepest, most_items)
    _check(reader, 0)
    reader.finish()
    decoder = cbor2.CBORDecoder(BytesIO(payload), semantic_decoders=_TAGS, max_depth=2 * deepest + 8)
    try:
        return decoder.decode()
    except DecodeError:
        raise
    except (cbor2.CBORDecodeError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        cause = error.__cause__
        if isinstance(cause, DecodeError):
            raise cause from None
        raise DecodeError(RejectReason.MALFORMED, f"not CBOR: {error}"[:300]) from None


def _check(reader: BinaryReader, depth: int) -> int:
    """Check one item and what is in it; its first byte."""
    first = reader.item(depth)
    major, info = first >> 5, first & 31
    if info == _INDEFINITE:
        _check_indefinite(reader, major, depth)
        return first
    argument = _argument(reader, info)
    if major in (_BYTES, _TEXT):
        reader.skip(argument)
    elif major == _ARRAY:
        for _ in range(argument):
            _check(reader, depth + 1)
    elif major == _MAP:
        for _ in range(argument):
            _check_key(reader, depth + 1)
            _check(reader, depth + 1)
    elif major == _TAG:
        if argument not in _TAGS:
            raise reader.fault(f"tag {argument} is not supported")
        _check(reader, depth + 1)
    elif major == _SIMPLE and info < 25 and argument not in (20, 21, 22, 23):
        raise reader.fault(f"simple value {argument} has no meaning")
    return first


def _check_indefinite(reader: BinaryReader, major: int, depth: int) -> None:
    """Check what stands before the break."""
    if major not in (_BYTES, _TEXT, _ARRAY, _MAP):
        raise reader.fault("a value without end that must have one")
    while not reader.ends_with(_BREAK):
        if major == _MAP:
            _check_key(reader, depth + 1)
        first = _check(reader, depth + 1)
        if major in (_BYTES, _TEXT) and (first >> 5 != major or first & 31 == _INDEFINITE):
            raise reader.fault("a string that is not made of strings")


def _check_key(reader: BinaryReader, depth: int) -> None:
    start = reader.position
    first = _check(reader, depth)
    if first >> 5 == _TEXT and first & 31 != _INDEFINITE:
        return
    if first >> 5 not in (_UNSIGNED, _NEGATIVE) or reader.position - start > 5:
        raise reader.fault("the key of a map is neither text nor a small integer")


def _argument(reader: BinaryReader, info: int) -> int:
    if info < 24:
        return info
    if info > 27:
        raise reader.fault(f"additional information {info} is reserved")
    return reader.number(1 << (info - 24))


def _inner(content: object, _immutable: bool) -> object:
    return content


def _bignum(content: object, _immutable: bool) -> int:
    if not isinstance(content, bytes) or len(content) > _LONGEST_NUMBER:
        raise _fault(f"a bignum of more than {8 * _LONGEST_NUMBER} bits")
    return int.from_bytes(content, "big")


def _negative_bignum(content: object, immutable: bool) -> int:
    return -1 - _bignum(content, immutable)


def _decimal(content: object, _immutable: bool) -> float:
    exponent, mantissa = _exponent_and_mantissa(content, "decimal fraction")
    return _finite(float(f"{mantissa}e{exponent}"))


def _bigfloat(content: object, _immutable: bool) -> float:
    exponent, mantissa = _exponent_and_mantissa(content, "bigfloat")
    try:
        return math.ldexp(mantissa, exponent)
    except OverflowError:
        raise _fault("a bigfloat larger than a double") from None


def _rational(content: object, _immutable: bool) -> float:
    numerator, denominator = _two_integers(content, "rational number")
    if denominator <= 0:
        raise _fault("a rational number without a positive denominator")
    return numerator / denominator


def _uuid(content: object, _immutable: bool) -> str:
    if not isinstance(content, bytes) or len(content) != _UUID_BYTES:
        raise _fault(f"a UUID that is not {_UUID_BYTES} bytes")
    return str(UUID(bytes=content))


def _exponent_and_mantissa(content: object, what: str) -> tuple[int, int]:
    exponent, mantissa = _two_integers(content, what)
    if abs(exponent) > _LARGEST_EXPONENT:
        raise _fault(f"a {what} with the exponent {exponent}")
    return exponent, mantissa


def _two_integers(content: object, what: str) -> tuple[int, int]:
    if isinstance(content, list | tuple) and len(content) == 2:
        first, second = content
        if type(first) is int and type(second) is int:
            return first, second
    raise _fault(f"a {what} is not made of two integers")


def _finite(number: float) -> float:
    if math.isinf(number):
        raise _fault("a number larger than a double")
    return number


def _fault(detail: str) -> DecodeError:
    return DecodeError(RejectReason.MALFORMED, f"not CBOR: {detail}")


_TAGS: MappingProxyType[int, Callable[[object, bool], object]] = MappingProxyType(
    {
        2: _bignum,
        3: _negative_bignum,
        4: _decimal,
        5: _bigfloat,
        30: _rational,
        37: _uuid,
        # Left as they are sent: times, which the decoders of messages read, and hints at the use of text and bytes.
        **dict.fromkeys((0, 1, 100, 1004, 21, 22, 23, 24, 32, 33, 34, 35, 36, 63, 55799), _inner),
    }
)
