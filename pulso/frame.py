"""The columnar frame that ingest hands to the engine: one committed batch as four columns."""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from pulso.errors import StorageError

VERSION = 1


@dataclass(frozen=True, slots=True)
class ObservationFrame:
    """Observations as columns of equal length, in no particular order.

    `datastream_id` int32; `phenomenon_time` int64, microseconds since 1970 UTC; `result` float64, in the unit of
    the datastream; `quality` int16 (see `Quality`); `corrects` bool: the row took the place of another result, so
    sums that hold the old one have to be rebuilt from the table.
    """

    datastream_id: NDArray[np.int32]
    phenomenon_time: NDArray[np.int64]
    result: NDArray[np.float64]
    quality: NDArray[np.int16]
    corrects: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.datastream_id)

    def select(self, rows: NDArray[np.bool_]) -> "ObservationFrame":
        """The observations where `rows` holds."""
        return ObservationFrame(*(getattr(self, name)[rows] for name in _DTYPES))


_DTYPES = {
    "datastream_id": "<i4",
    "phenomenon_time": "<i8",
    "result": "<f8",
    "quality": "<i2",
    "corrects": "|b1",
}


class _Wire(msgspec.Struct, array_like=True):
    version: int
    columns: list[bytes]


def encode(frame: ObservationFrame) -> bytes:
    """Serialise a frame: MessagePack of the version and the little-endian columns."""
    columns = [np.ascontiguousarray(getattr(frame, name), dtype).tobytes() for name, dtype in _DTYPES.items()]
    return msgspec.msgpack.encode(_Wire(VERSION, columns))


def decode(data: bytes) -> ObservationFrame:
    """Read a frame. Raises StorageError for bytes of another version."""
    try:
        wire = msgspec.msgpack.decode(data, type=_Wire)
    except msgspec.MsgspecError as error:
        raise StorageError(f"not an observation frame: {error}") from error
    if wire.version != VERSION:
        raise StorageError(f"observation frame of version {wire.version}; this release reads {VERSION}")
    columns = (np.frombuffer(column, dtype) for column, dtype in zip(wire.columns, _DTYPES.values(), strict=True))
    return ObservationFrame(*columns)


def concatenate(frames: list[ObservationFrame]) -> ObservationFrame:
    """All rows of `frames`, in their order."""
    return ObservationFrame(*(np.concatenate([getattr(frame, name) for frame in frames]) for name in _DTYPES))
