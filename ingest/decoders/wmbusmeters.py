"""wmbusmeters: readings of wireless and wired M-Bus meters as JSON; names end in their units.

Format: github.com/wmbusmeters/wmbusmeters, README ("JSON format") and the field names its drivers share.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.moments import iso_moment
from ingest.formats.readings import as_text, is_no_reading
from ingest.measured import as_number, measured
from ingest.message import Context, Decoded, DecodedObservation, Incoming, Reported, ignored
from pulso.model import Family

_ELECTRICITY = "electricity"
_UNITS: Mapping[str, str] = MappingProxyType(
    {"kwh": "kWh", "mj": "MJ", "kw": "kW", "w": "W", "v": "V", "a": "A", "hz": "Hz", "c": "°C", "rh": "%"}
    | {"kvar": "kvar", "kva": "kVA", "var": "var", "va": "VA"}
)
_NAMES = tuple(
    (re.compile(pattern), observed_property)
    for pattern, observed_property in (
        (r"total_energy_consumption(?:_tariff_?([1-9]))?", "energy_import"),
        (r"total_energy_production(?:_tariff_?([1-9]))?", "energy_export"),
        (r"current_power_consumption(?:_at)?_phase_?([123])", "power"),
        (r"voltage(?:(?:_at)?_phase_?([123])|_l([123])(?:_n)?)?", "voltage"),
        (r"current(?:(?:_at)?_phase_?([123])|_l([123]))?", "current"),
        (r"(?:current_)?frequency", "frequency"),
    )
)
_FIRST_YEARS = 946_684_800_000_000  # microseconds to 2000-01-01
_DRAWN, _FED = "current_power_consumption", "current_power_production"
_CLIMATE: Mapping[str, str] = MappingProxyType(
    {"current_temperature_c": "temperature", "current_relative_humidity_rh": "humidity"}
)


def looks_like(message: Incoming) -> bool:
    """Whether a payload is a telegram as wmbusmeters writes it."""
    if b'"meter"' not in message.payload or b'"media"' not in message.payload:
        return False
    body = message.body
    return isinstance(body, Mapping) and all(isinstance(body.get(name), str) for name in ("meter", "media", "id"))


@decoder("wmbusmeters", looks_like=looks_like)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one telegram of an electricity meter or a room sensor; other media have no property of ours.

    The thing is `id`. Power is what is drawn less what is fed in.
    """
    body = message.body
    external_id = as_text(body.get("id")) if isinstance(body, Mapping) else None
    if not isinstance(body, Mapping) or external_id is None:
        raise NotMine
    at = iso_moment(body.get("timestamp"), context.timezone)
    if at is not None and at < _FIRST_YEARS:
        at = None  # the clock of the reader was not set
    media, driver = str(body.get("media"))[:80], str(body.get("meter"))[:80]
    observations = [*(_electricity(body, at) if media == _ELECTRICITY else ()), *_climate(body, media, at)]
    if not observations:
        return ignored(f"a meter of {media}: no property of ours", external_id)
    family = Family.ENERGY if media == _ELECTRICITY else None
    return Decoded((Reported(external_id, family, observations, phenomenon_time=at, model=(driver,)),))


def _electricity(body: Mapping[str, object], at: int | None) -> Iterator[DecodedObservation]:
    seen = set()
    for name, value in body.items():
        stem, _, unit_code = name.rpartition("_")
        unit = _UNITS.get(unit_code)
        if unit is None or is_no_reading(value):
            continue
        if stem == _DRAWN:
            observed_property, told = "power", _net(value, body.get(f"{_FED}_{unit_code}"))
        else:
            observed_property, told = _named(stem) or "", value
        if observed_property and observed_property not in seen:
            observation = measured(observed_property, told, unit, at=at)
            if observation is not None:
                seen.add(observed_property)
                yield observation


def _named(stem: str) -> str | None:
    for pattern, observed_property in _NAMES:
        found = pattern.fullmatch(stem.lower())
        if found is not None:
            part = next((each for each in found.groups() if each), None)
            letter = "t" if observed_property.startswith("energy") else "l"
            return observed_property if part is None else f"{observed_property}_{letter}{part}"
    return None


def _net(drawn: object, fed: object) -> object:
    """What is drawn less what is fed in, both in one unit; what is no number is left for `measured` to refuse."""
    first, second = as_number(drawn), as_number(fed)
    return drawn if first is None or not second else round(first - second, 9)


def _climate(body: Mapping[str, object], media: str, at: int | None) -> Iterator[DecodedObservation]:
    for name, observed_property in _CLIMATE.items() if media == "room sensor" else ():
        value = body.get(name)
        if not is_no_reading(value):
            observation = measured(observed_property, value, _UNITS[name.rpartition("_")[2]], at=at)
            if observation is not None:
                yield observation
