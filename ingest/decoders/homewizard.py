"""HomeWizard Energy: the data object of its P1, kWh and socket meters, as bridges publish it.

Format: api-documentation.homewizard.com, measurements of version 1 (`/api/v1/data`) and 2 (`/api/measurement`). Names
hold their units. Dates in it are of gas or of peaks, but for `timestamp` of version 2, the local time of the telegram.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.moments import iso_moment
from ingest.formats.readings import as_text, is_no_reading
from ingest.measured import measured
from ingest.message import Context, Decoded, Incoming, Reported, ignored
from pulso.model import Family


def _fields() -> dict[str, tuple[str, str]]:
    fields = {}
    for direction in ("import", "export"):
        for part, suffix in (("", ""), *((f"_t{tariff}", f"_t{tariff}") for tariff in range(1, 5))):
            for stem in ("total_power_", "energy_"):  # version 1, version 2
                fields[f"{stem}{direction}{part}_kwh"] = (f"energy_{direction}{suffix}", "kWh")
    for part in ("", "_l1", "_l2", "_l3"):
        for stem in ("active_", ""):
            fields[f"{stem}power{part}_w"] = (f"power{part}", "W")
            fields[f"{stem}voltage{part}_v"] = (f"voltage{part}", "V")
            fields[f"{stem}current{part}_a"] = (f"current{part}", "A")
            fields[f"{stem}reactive_power{part}_var"] = (f"reactive_power{part}", "var")
            fields[f"{stem}apparent_power{part}_va"] = (f"apparent_power{part}", "VA")
        fields[f"active_power_factor{part}"] = (f"power_factor{part}", "1")
        fields[f"power_factor{part}"] = (f"power_factor{part}", "1")
    return {**fields, "active_frequency_hz": ("frequency", "Hz"), "frequency_hz": ("frequency", "Hz")}


FIELDS: Mapping[str, tuple[str, str]] = MappingProxyType(_fields())
"""Property and unit by name."""

_MARKS = ("active_power_w", "power_w", "total_power_import_kwh", "energy_import_kwh")


def looks_like(message: Incoming) -> bool:
    """Whether a payload is the data object: power or import, and the meter or the network it is read through."""
    if b'_w"' not in message.payload and b'_kwh"' not in message.payload:
        return False
    body = message.body
    if not isinstance(body, Mapping) or not any(mark in body for mark in _MARKS):
        return False
    return "wifi_ssid" in body or ("unique_id" in body and "meter_model" in body)


@decoder("homewizard", looks_like=looks_like)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one data object. The thing is the meter's `unique_id`, or the topic where there is none.

    Gas, water and the name of the network are not read.
    """
    body = message.body
    if not isinstance(body, Mapping):
        raise NotMine
    external_id = as_text(body.get("unique_id")) or message.topic
    at = iso_moment(body.get("timestamp"), context.timezone)
    observations = [
        observation
        for name, (observed_property, unit) in FIELDS.items()
        if not is_no_reading(value := body.get(name))
        and (observation := measured(observed_property, value, unit, at=at)) is not None
    ]
    if not observations:
        return ignored("no reading of electricity", external_id)
    return Decoded((Reported(external_id, Family.ENERGY, observations, phenomenon_time=at),))
