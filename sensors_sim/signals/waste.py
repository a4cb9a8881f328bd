"""Waste bins: filled at the pace of their district, emptied on a schedule that is sometimes missed."""

from collections.abc import Mapping

import numpy as np

from pulso.model import to_micros
from sensors_sim.incidents import IncidentKind, envelope
from sensors_sim.noise import Floats, channel, normal, uniform, value_noise
from sensors_sim.rhythm import DAY, Week, bump, hour_of_day
from sensors_sim.signals.context import Context, ambient_temperature

WEEK = Week.of(
    workday=(
        30,
        18,
        12,
        10,
        12,
        25,
        55,
        90,
        110,
        115,
        120,
        130,
        145,
        160,
        165,
        150,
        135,
        130,
        140,
        150,
        140,
        115,
        80,
        50,
    ),
    saturday=(
        45,
        28,
        18,
        14,
        14,
        22,
        45,
        75,
        100,
        125,
        145,
        160,
        175,
        185,
        180,
        165,
        155,
        155,
        165,
        165,
        150,
        125,
        95,
        65,
    ),
    sunday=(50, 32, 20, 15, 14, 20, 38, 62, 88, 115, 138, 155, 170, 178, 170, 152, 140, 138, 142, 138, 120, 92, 62, 42),
)
"""How fast waste comes in, in % of the daily mean of a working day."""

MISSED = 0.02
"""Share of collections that do not happen."""
LOOK_BACK = 6
"""Days in which the last collection is looked for; a bin missed that often in a row is full anyway."""
FIRST_ROUND, LAST_ROUND = 5.5, 9.5
"""Collection rounds pass between these hours of the city's clock."""


def measure(context: Context) -> Mapping[str, Floats]:
    """`fill_level` %, `temperature` °C inside the bin, `battery` % of a solar-charged cell."""
    fill = np.clip(_fill(context), 0.0, 100.0)
    sun = bump(hour_of_day(context.at.local), 14.0, 2.6)
    battery = 84.0 + 9.0 * bump(hour_of_day(context.at.local), 17.0, 4.0) + 5.0 * context.noise("waste.battery", 4320)
    return {
        "fill_level": np.clip(_overflowing(context, fill) + 0.4 * context.jitter("waste.echo"), 0.0, 100.0),
        "temperature": ambient_temperature(context) + 5.0 * sun,
        "battery": np.clip(battery, 5.0, 100.0),
    }


def _fill(context: Context) -> Floats:
    """Fill since the last collection, in closed form: the integral of the inflow between then and now."""
    emptied = _last_collection(context)
    inflow = (WEEK.integral(context.at.standard) - WEEK.integral(emptied)) / (100.0 * DAY)
    day_to_day = 1.0 + 0.10 * value_noise(channel(context.seed, "waste.pace"), context.sites.key, emptied / DAY)
    residue = 3.0 + 3.0 * uniform(
        channel(context.seed, "waste.residue"), context.sites.key, (emptied // DAY).astype(np.int64)
    )
    return residue + context.sites.traits["daily_fill"] * context.sites.level * day_to_day * inflow


def _last_collection(context: Context) -> Floats:
    """Seconds on the city's standard clock of the newest collection not after now."""
    key, clock = context.sites.key, context.at.standard
    usual = FIRST_ROUND + (LAST_ROUND - FIRST_ROUND) * uniform(channel(context.seed, "waste.round"), key)
    today = np.floor(clock / DAY).astype(np.int64)
    last = np.asarray((today - LOOK_BACK) * DAY, np.float64)
    for back in range(LOOK_BACK - 1, -1, -1):
        day = today - back
        late = 0.3 * normal(channel(context.seed, "waste.delay"), key, day)
        arrival = day * DAY + 3600.0 * (usual + late)
        came = uniform(channel(context.seed, "waste.missed"), key, day) >= MISSED
        last = np.where(came & (arrival <= clock), arrival, last)
    return last


def _overflowing(context: Context, fill: Floats) -> Floats:
    """Fill under the overflow incidents: the bins they befall fill to the brim and are emptied when it is over."""
    for incident, struck in context.incidents.struck(IncidentKind.OVERFLOW, context.sites):
        brim = 98.0 + 2.0 * uniform(channel(context.seed, "waste.brim"), context.sites.key)
        rising = envelope(incident, context.at.micros)
        falling = context.at.micros > to_micros(incident.start + incident.duration / 2)
        course = np.where(falling & (rising > 0), 1.0, rising)  # full until the lorry has come
        fill = np.where(struck, np.maximum(fill, fill + (brim - fill) * course), fill)
    return fill
