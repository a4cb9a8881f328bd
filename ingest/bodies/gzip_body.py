"""Payloads that devices send compressed."""

import zlib

from pulso.errors import DecodeError, RejectReason

LARGEST_UNPACKED = 1 << 20
"""Bytes that a payload may unpack to: as many as one that is sent as it is may have. A megabyte of zeros is one
kilobyte of gzip, so the bound holds while it is unpacked."""

_MAGIC = b"\x1f\x8b"
_GZIP = 31  # of zlib: a gzip header and trailer are there


def is_gzip(payload: bytes) -> bool:
    """Whether a payload is compressed with gzip, as far as its first bytes tell; no other format begins so."""
    return payload.startswith(_MAGIC)


def unpacked(payload: bytes, largest: int = LARGEST_UNPACKED) -> bytes:
    """What a gzip payload holds. Raises DecodeError (malformed; too_large for more than `largest` bytes)."""
    reader = zlib.decompressobj(wbits=_GZIP)
    try:
        text = reader.decompress(payload, largest + 1)
    except zlib.error as error:
        raise DecodeError(RejectReason.MALFORMED, f"not gzip: {error}") from None
    if len(text) > largest:
        raise DecodeError(RejectReason.TOO_LARGE, f"gzip of more than {largest} bytes")
    if not reader.eof:
        raise DecodeError(RejectReason.MALFORMED, "not gzip: it ends within the data")
    if reader.unused_data.strip(b"\x00"):
        raise DecodeError(RejectReason.MALFORMED, f"{len(reader.unused_data)} bytes follow the gzip data")
    return text
