"""Air-quality stations: particles with the morning rush, ozone with the afternoon sun, nitrogen dioxide against it."""

from collections.abc import Mapping

import numpy as np

from sensors_sim.incidents import IncidentKind
from sensors_sim.noise import Floats
from sensors_sim.rhythm import Week, bump, day_of_year, hour_of_day
from sensors_sim.signals.context import Context, ambient_temperature

EMISSIONS = Week.of(
    workday=(
        62,
        58,
        55,
        54,
        60,
        78,
        105,
        130,
        140,
        132,
        118,
        108,
        104,
        102,
        100,
        98,
        98,
        102,
        110,
        116,
        112,
        100,
        86,
        72,
    ),
    saturday=(70, 64, 60, 57, 58, 66, 80, 96, 106, 108, 104, 100, 98, 96, 94, 92, 90, 92, 98, 104, 102, 95, 86, 78),
    sunday=(74, 68, 62, 58, 56, 58, 64, 72, 80, 84, 84, 82, 80, 80, 78, 76, 76, 78, 84, 90, 90, 84, 76, 68),
)
"""What traffic and homes give off, in % of the mean of a working day."""


def measure(context: Context) -> Mapping[str, Floats]:
    """`pm2_5` and `pm10` µg/m³, `o3` and `no2` ppb, `temperature` °C, `humidity` %; levels usual for this city."""
    clock = context.at.local
    hour, year = hour_of_day(clock), day_of_year(clock)
    emissions = EMISSIONS.at(clock) / 100.0 * context.sites.level
    weather = np.exp(0.30 * context.shared("air.stagnation", 900) + 0.12 * context.shared("air.hour", 90))
    episode = context.felt(IncidentKind.POLLUTION)
    dry = 1.0 + 0.22 * np.cos(2 * np.pi * (year - 0.02))  # particles are worst in the cold dry months
    mixing = 1.0 - 0.30 * bump(hour, 15.5, 2.8)  # a deep afternoon layer dilutes
    fine = 19.5 * emissions**0.7 * weather * dry * mixing * _own(context, "air.pm2_5", 0.07) * (1.0 + 3.2 * episode)
    dust = 1.0 + 0.25 * bump(hour, 17.0, 2.0) + 0.12 * context.shared("air.dust", 240)
    coarse = 17.0 * emissions**0.6 * weather**0.8 * dry * dust * _own(context, "air.pm10", 0.09) * (1.0 + 1.6 * episode)
    temperature = ambient_temperature(context)
    return {
        "pm2_5": np.maximum(fine, 0.5),
        "pm10": np.maximum(fine + coarse, 1.0),
        "o3": np.maximum(_ozone(context, hour, year) * (1.0 + 0.9 * episode), 1.0),
        "no2": np.maximum(_nitrogen_dioxide(context, hour, emissions, weather) * (1.0 + 0.8 * episode), 1.0),
        "temperature": temperature,
        "humidity": np.clip(56.0 - 2.6 * (temperature - 17.0) + 9.0 * context.shared("air.humidity", 420), 8.0, 99.0),
    }


def _own(context: Context, name: str, share: float) -> Floats:
    """What sets one station and one minute apart from its neighbours, around 1."""
    return 1.0 + share * context.noise(name, 60) + 0.04 * context.jitter(name)


def _ozone(context: Context, hour: Floats, year: Floats) -> Floats:
    season = 1.0 + 0.20 * np.cos(2 * np.pi * (year - 0.31))  # strongest sun before the rains, about the end of April
    sun = np.exp(0.28 * context.shared("air.sun", 1440))
    peak = 62.0 * bump(hour, 14.7, 2.5) * season * sun
    return (9.0 + peak) * (2.0 - context.sites.level) ** 0.5 * _own(context, "air.o3", 0.06)


def _nitrogen_dioxide(context: Context, hour: Floats, emissions: Floats, weather: Floats) -> Floats:
    burnt_by_light = 1.0 - 0.42 * bump(hour, 14.5, 3.0)
    evening = 1.0 + 0.28 * bump(hour, 20.5, 2.0)
    return 27.0 * emissions * weather**0.6 * burnt_by_light * evening * _own(context, "air.no2", 0.07)
