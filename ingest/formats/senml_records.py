"""SenML packs (RFC 8428) resolved: every record with its full name, its time and its values.

The labels of CBOR are integers (section 6). The older form of SenML with the entries under `e` is read as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ingest.measured import as_number
from pulso.errors import DecodeError, RejectReason

_CBOR_LABELS = MappingProxyType(
    {
        "-1": "bver",
        "-2": "bn",
        "-3": "bt",
        "-4": "bu",
        "-5": "bv",
        "-6": "bs",
        "0": "n",
        "1": "u",
        "2": "v",
        "3": "vs",
        "4": "vb",
        "5": "s",
        "6": "t",
        "7": "ut",
        "8": "vd",
    }
)
"""The integer labels of CBOR, as the text that `ingest.bodies.body` makes of them."""
_LABELS = frozenset(_CBOR_LABELS.values())
_VALUES = frozenset({"v", "vs", "vb", "vd", "s"})
_VERSION = 10
_SECONDARY_UNITS = 0x10  # the bit of the feature in bver (RFC 9100), for the units of RFC 8798
_LATEST = 1e11  # seconds; the year 5138
_RELATIVE_BELOW = 1 << 28  # seconds (section 4.5.3)


@dataclass(frozen=True, slots=True)
class Record:
    """A resolved record. `base` and `own` are the two parts of its name.

    `time` in microseconds since 1970 UTC, None for now. `value` and `total` are the value and the sum with their base
    added, None where the record has none; `flag` the boolean value. Text and data are not kept: `is_label` says that
    there was one of them, or a boolean value.
    """

    base: str
    own: str
    unit: str | None
    time: int | None
    value: float | None
    total: float | None
    flag: bool | None
    is_label: bool

    @property
    def name(self) -> str:
        """The full name."""
        return self.base + self.own


def is_pack(body: object, *, numbered: bool = False) -> bool:
    """Whether values look like a SenML pack: its labels (`numbered`: those of CBOR), a name, and values."""
    records = _records(body)
    if not records or not all(isinstance(each, dict) for each in records[:10]):
        return False
    first = _labelled(records[0], numbered)
    return (
        isinstance(first.get("bn", first.get("n")), str)
        and _LABELS.issuperset(key.rstrip("_") for key in first)
        and any(_VALUES & _labelled(each, numbered).keys() for each in records[:10])
    )


def resolve(body: object, received_at: int, *, numbered: bool = False) -> Iterator[Record]:
    """The records of a pack, in their order (section 4.6). `received_at` in microseconds since 1970 UTC.

    `numbered`: labels may be those of CBOR.

    Raises DecodeError (wrong_shape) for what is no pack, a version or a required label (`name_`) we do not know.
    """
    base: dict[str, object] = {}
    for each in _records(body):
        if not isinstance(each, dict):
            raise DecodeError(RejectReason.WRONG_SHAPE, "a SenML record is not an object")
        record = _labelled(each, numbered)
        base |= {label: value for label, value in record.items() if label.startswith("b")}
        _check_version(base.get("bver"))
        unknown = next((label for label in record if label.endswith("_")), None)
        if unknown is not None:
            raise DecodeError(
                RejectReason.WRONG_SHAPE, f"the SenML label {unknown[:80]!r} must be understood, and is not"
            )
        if _VALUES & record.keys():
            yield _resolved(record, base, received_at)


def _records(body: object) -> list[object]:
    """The records of a pack: an array of them, one alone, or the older object with its entries under `e`."""
    if isinstance(body, list):
        return body
    if not isinstance(body, dict):
        return []
    entries = body.get("e")
    if not isinstance(entries, list):
        return [body]
    return [{label: value for label, value in body.items() if label in _LABELS}, *entries]


def _labelled(record: object, numbered: bool) -> dict[str, object]:
    """A record with the labels of JSON; `numbered` if it may have those of CBOR."""
    if not isinstance(record, Mapping):
        return {}
    return {_CBOR_LABELS.get(key, key) if numbered else key: each for key, each in record.items()}


def _check_version(version: object) -> None:
    number = _VERSION if version is None else as_number(version)
    if number is None or (int(number) & ~_SECONDARY_UNITS) > _VERSION:
        raise DecodeError(RejectReason.WRONG_SHAPE, f"SenML version {str(version)[:40]} is not known")


def _resolved(record: Mapping[str, object], base: Mapping[str, object], received_at: int) -> Record:
    flag = record.get("vb")
    return Record(
        base=_text(base, "bn") or "",
        own=_text(record, "n") or "",
        unit=_text(record, "u") or _text(base, "bu"),
        time=_time(_number(base, "bt") or 0.0, _number(record, "t") or 0.0, received_at),
        value=_sum(record, "v", base, "bv"),
        total=_sum(record, "s", base, "bs"),
        flag=flag if isinstance(flag, bool) else None,
        is_label=any(record.get(label) is not None for label in ("vs", "vb", "vd")),
    )


def _time(base: float, own: float, received_at: int) -> int | None:
    """The sum of base time and time, relative to the receipt if it is small; None for now.

    Raises DecodeError (impossible_timestamp).
    """
    seconds = base + own
    if seconds == 0:
        return None
    if not abs(seconds) < _LATEST:
        raise DecodeError(RejectReason.IMPOSSIBLE_TIMESTAMP, f"the SenML time {seconds:g} cannot be")
    micros = round(base * 1_000_000) + round(own * 1_000_000)
    return received_at + micros if abs(seconds) < _RELATIVE_BELOW else micros


def _sum(record: Mapping[str, object], label: str, base: Mapping[str, object], base_label: str) -> float | None:
    own = _number(record, label)
    return None if own is None else own + (_number(base, base_label) or 0.0)


def _number(record: Mapping[str, object], label: str) -> float | None:
    """The number of a label; None if it is absent or null. Raises DecodeError (wrong_shape)."""
    value = record.get(label)
    number = as_number(value)
    if value is not None and (number is None or isinstance(value, bool | str)):
        raise DecodeError(RejectReason.WRONG_SHAPE, f"the SenML label {label} is not a number: {str(value)[:40]!r}")
    return number


def _text(record: Mapping[str, object], label: str) -> str | None:
    value = record.get(label)
    if value is not None and not isinstance(value, str):
        raise DecodeError(RejectReason.WRONG_SHAPE, f"the SenML label {label} is not text: {str(value)[:40]!r}")
    return value
