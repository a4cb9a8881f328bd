"""Pulso's own JSON format, written by hand: the simulator shares no code with the decoders, and so no bug.

Every number is written at the resolution of its sensor; what is written is also what the ground truth records.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from pulso.model import ThingDescription
from sensors_sim.noise import Floats
from sensors_sim.rhythm import Micros

DECIMALS = {
    "speed": 1,
    "vehicle_count": 0,
    "occupancy": 1,
    "fill_level": 1,
    "temperature": 1,
    "battery": 0,
    "energy_import": 4,
    "power": 0,
    "voltage": 1,
    "power_factor": 3,
    "pm2_5": 1,
    "pm10": 1,
    "o3": 1,
    "no2": 1,
    "humidity": 1,
}


def observation_topic(thing: ThingDescription) -> str:
    """Where a thing publishes its observations."""
    return f"pulso/v1/{thing.family.value}/{thing.external_id}"


def description_topic(thing: ThingDescription) -> str:
    """Where a thing's description is kept, retained."""
    return f"{observation_topic(thing)}/about"


def description(thing: ThingDescription) -> bytes:
    """The retained description; absent facts are left out."""
    facts: dict[str, object] = {
        "name": thing.name or None,
        "zone": thing.zone_id,
        "latitude": thing.latitude,
        "longitude": thing.longitude,
        "expected_interval": thing.expected_interval.total_seconds(),
        "properties": thing.properties or None,
    }
    told = {name: fact for name, fact in facts.items() if fact is not None}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def time_texts(micros: Micros) -> list[str]:
    """RFC 3339 texts in UTC, with a fraction only where there is one.

    >>> time_texts(np.array([0, 1_500_000]))
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500000Z']
    """
    texts = np.datetime_as_string(micros.astype("datetime64[us]"), unit="us").tolist()
    return [text.removesuffix(".000000") + "Z" for text in texts]


def number_texts(observed_property: str, values: Floats) -> list[str]:
    """Values as the sensor writes them; never an exponent, never a negative zero."""
    decimals = DECIMALS[observed_property]
    rounded = np.round(values, decimals) + 0.0
    return [f"{value:.{decimals}f}" for value in rounded.tolist()]


def messages(times: Sequence[str], values: Mapping[str, Sequence[str]]) -> list[bytes]:
    """One message per row: its time and all its observations, all of them already text."""
    template = '{"phenomenon_time":"%s","observations":{' + ",".join(f'"{name}":%s' for name in values) + "}}"
    return [(template % row).encode() for row in zip(times, *values.values(), strict=True)]
