"""P1 telegrams of smart meters, as bridges publish them whole: OBIS codes, one a line.

Format: Dutch Smart Meter Requirements 2.2 to 5.0, P1 Companion Standard (Netbeheer Nederland); e-MUCS P1 (Belgium),
Smarty P1 (Luxembourg) and the Swedish H1/P1 interface, which differ in which lines they have. Meters with an optical
head (IEC 62056-21) send the same with `*255` behind the codes, or with codes of the values alone (`1.8.0`).
"""

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.moments import in_micros, offset
from ingest.formats.readings import REFUSED_UNITS
from ingest.measured import measured
from ingest.message import Context, Decoded, DecodedObservation, Incoming, Reported, ignored
from pulso.errors import DecodeError, RejectReason
from pulso.model import Family

_LOOK = re.compile(rb"[\r\n](?:\d-\d{1,3}:)?\d{1,3}\.\d{1,3}\.\d{1,3}(?:[.*]\d{1,3})?\(")
_VALUE = re.compile(
    r"(?:(\d-\d{1,3}):)?([0-9A-Z]{1,3}\.\d{1,3})(\.\d{1,3})?(?:[.*]255)?\(([^()*]{0,64})(?:\*([^()*]{1,16}))?\)"
)
_AROUND = " \t\x02"  # a line; the second begins with a start of text where an optical head is read
_END = re.compile(rb"![ \t]*([0-9A-Fa-f]{4})?[ \t\r\n\x00]*(?:\x03.?)?\Z", re.DOTALL)  # ETX, and a check of its own
_TIME = re.compile(r"(\d{12})([WS]?)")
_WINTER, _SUMMER = offset(1), offset(2)
_LONGEST_TELEGRAM = 32_768  # bytes; meters send 1 to 4 thousand
_ELECTRICITY = ("1-0", "1-1")

READINGS: Mapping[str, str] = MappingProxyType(
    {
        "1.8.0": "energy_import",
        "2.8.0": "energy_export",
        **{f"1.8.{tariff}": f"energy_import_t{tariff}" for tariff in range(1, 5)},
        **{f"2.8.{tariff}": f"energy_export_t{tariff}" for tariff in range(1, 5)},
        "14.7.0": "frequency",
        **{f"{20 * phase + 12}.7.0": f"voltage_l{phase}" for phase in (1, 2, 3)},
        **{f"{20 * phase + 11}.7.0": f"current_l{phase}" for phase in (1, 2, 3)},
    }
)
"""Properties by OBIS value group C.D.E."""

BALANCES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "power": ("1.7.0", "2.7.0"),
        "reactive_power": ("3.7.0", "4.7.0"),
        **{f"power_l{phase}": (f"{20 * phase + 1}.7.0", f"{20 * phase + 2}.7.0") for phase in (1, 2, 3)},
        **{f"reactive_power_l{phase}": (f"{20 * phase + 3}.7.0", f"{20 * phase + 4}.7.0") for phase in (1, 2, 3)},
    }
)
"""Properties that a meter tells as two values, drawn and fed in; one of them is always 0."""

_SUMS = MappingProxyType({"power": "16.7.0", **{f"power_l{phase}": f"{20 * phase + 16}.7.0" for phase in (1, 2, 3)}})
"""The same as one value with a sign, as some meters tell it instead."""

_IDENTIFIERS = ("0-0:96.1.1", "0-0:96.1.0", "0-0:42.0.0", "1-0:96.1.0", "0-0:96.1.255", "C.1.0", "0.0.0")


def looks_like(message: Incoming) -> bool:
    """Whether a payload begins as a telegram does: `/` and the identification, then lines of OBIS codes."""
    return message.payload.lstrip()[:1] == b"/" and _LOOK.search(message.payload[:2048]) is not None


@decoder("dsmr", looks_like=looks_like)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one telegram of an electricity meter; meters of gas and water behind it are left out.

    Raises DecodeError (malformed) for a telegram that is cut off or whose checksum is wrong.
    """
    start = message.payload.find(b"/")
    if start < 0:
        raise NotMine
    telegram = message.payload[start:]
    if len(telegram) > _LONGEST_TELEGRAM:
        raise DecodeError(RejectReason.TOO_LARGE, f"{len(telegram)} bytes; a telegram has {_LONGEST_TELEGRAM} at most")
    _check(telegram)
    values = _values(telegram.decode("ascii", "replace"))
    external_id = next((each[0] for name in _IDENTIFIERS if (each := values.get(name)) and each[0]), message.topic)
    at = _moment(values, context)
    refused: list[DecodeError] = []
    observations = [*_readings(values, at, refused), *_balances(values, at, refused)]
    if refused and not observations:
        raise refused[0]
    if not observations:
        return ignored("a telegram without a reading of electricity", external_id)
    return Decoded((Reported(external_id, Family.ENERGY, observations, phenomenon_time=at),))


def _check(telegram: bytes) -> None:
    end = _END.search(telegram)
    if end is None:
        raise DecodeError(RejectReason.MALFORMED, "the telegram does not end with '!'")
    told = end[1]
    # The checksum is over the bytes as the meter sent them; a bridge that changed the line ends made it void.
    if told is None or b"\r\n" not in telegram:
        return
    computed = checksum(telegram[: end.start() + 1])
    if computed != int(told, 16):
        raise DecodeError(RejectReason.MALFORMED, f"checksum {told.decode()}, computed {computed:04X}")


def checksum(telegram: bytes) -> int:
    """CRC-16 of the bytes from `/` to `!`: polynomial x^16 + x^15 + x^2 + 1, least significant bit first, from 0."""
    crc = 0
    for byte in telegram:
        crc = crc >> 8 ^ _CRC_OF_BYTE[(crc ^ byte) & 0xFF]
    return crc


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
    return byte


_CRC_OF_BYTE = tuple(map(_crc_of, range(256)))


def _values(text: str) -> dict[str, tuple[str, str | None]]:
    """Value and unit by identifier: `C.D.E` for electricity, the whole code otherwise; the first of each counts."""
    values: dict[str, tuple[str, str | None]] = {}
    for raw in text.splitlines():
        line = raw.strip(_AROUND)
        found = _VALUE.fullmatch(line)
        if found is None:
            continue
        medium, code = found[1] or _ELECTRICITY[0], found[2] + (found[3] or ".0")
        value = (found[4].strip(), found[5])
        values.setdefault(f"{medium}:{code}", value)
        if medium in _ELECTRICITY:
            values.setdefault(code, value)
    return values


def _moment(values: Mapping[str, tuple[str, str | None]], context: Context) -> int | None:
    told = values.get("0-0:1.0.0", ("", None))[0]
    if not told:
        return None
    found = _TIME.fullmatch(told)
    try:
        moment = datetime.strptime(found[1] if found else "", "%y%m%d%H%M%S")  # noqa: DTZ007 (its zone is a letter)
    except ValueError:
        raise DecodeError(RejectReason.IMPOSSIBLE_TIMESTAMP, f"time {told!r} of the telegram") from None
    zones = {"W": _WINTER, "S": _SUMMER}
    return in_micros(moment, zones.get(found[2], context.timezone) if found else context.timezone)


def _readings(
    values: Mapping[str, tuple[str, str | None]], at: int | None, refused: list[DecodeError]
) -> list[DecodedObservation]:
    read = (_quantity(name, values, code, refused) for code, name in READINGS.items())
    return [each._replace(phenomenon_time=at) for each in read if each is not None]


def _balances(
    values: Mapping[str, tuple[str, str | None]], at: int | None, refused: list[DecodeError]
) -> list[DecodedObservation]:
    """What is drawn less what is fed in, in the unit of the telegram: negative while power flows into the grid."""
    balances = []
    for name, (drawn_code, fed_code) in BALANCES.items():
        drawn, fed = (_quantity(name, values, code, refused) for code in (drawn_code, fed_code))
        if drawn is None and fed is None:
            total = _quantity(name, values, _SUMS.get(name, ""), refused)
            balances += [] if total is None else [total]
            continue
        fed = None if fed is None or fed.result == 0 else fed
        if fed is None:
            balances.append(drawn if drawn is not None else DecodedObservation(name, 0.0, None, at))
        else:
            drawn_result = 0.0 if drawn is None else drawn.result
            sent = None
            if fed.sent_result is not None:
                sent = round((drawn.sent_result or 0.0 if drawn is not None else 0.0) - fed.sent_result, 9)
            balances.append(fed._replace(result=round(drawn_result - fed.result, 9), sent_result=sent))
    return [each._replace(phenomenon_time=at) for each in balances]


def _quantity(
    name: str, values: Mapping[str, tuple[str, str | None]], code: str, refused: list[DecodeError]
) -> DecodedObservation | None:
    """The reading of a line; one in a unit that is unknown or impossible is left out, and told in `refused`."""
    value, unit = values.get(code, ("", None))
    try:
        return measured(name, value, unit) if value and unit is not None else None
    except DecodeError as error:
        if error.reason not in REFUSED_UNITS:
            raise
        refused.append(error)
        return None
