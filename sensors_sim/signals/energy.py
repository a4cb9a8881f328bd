"""Energy meters: one register that only ever rises, and power as exactly its derivative.

The register is a closed form of time: the integral of a weekly load curve plus a bounded smooth wobble. An outage
holds it still; afterwards the load that was missed is made up (cold-load pick-up), so that nothing of an outage has
to be remembered for ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pulso.model import MICROSECOND, to_micros
from sensors_sim.incidents import RECOVERY, Incident, IncidentKind
from sensors_sim.noise import Floats, smooth, smooth_slope, value_noise_slope
from sensors_sim.rhythm import Instants, Week
from sensors_sim.signals.context import Context

WEEK = Week.of(
    workday=(
        58,
        53,
        50,
        49,
        50,
        56,
        68,
        80,
        90,
        96,
        100,
        103,
        105,
        106,
        106,
        105,
        105,
        108,
        118,
        128,
        127,
        116,
        94,
        72,
    ),
    saturday=(60, 55, 52, 50, 50, 53, 60, 68, 78, 86, 92, 96, 98, 99, 97, 94, 92, 94, 104, 116, 116, 107, 90, 72),
    sunday=(58, 54, 51, 49, 48, 50, 54, 60, 68, 76, 82, 86, 88, 89, 87, 84, 83, 86, 97, 110, 112, 103, 86, 68),
)
"""Load in % of the nominal load."""

WOBBLE = ((15.0, 0.035), (120.0, 0.02))
"""Own noise of each meter: minutes between knots, and amplitude of the load (share of nominal) per unit of slope."""
SHARED_WOBBLE = (90.0, 0.02)
"""The same for what neighbours share. The slope is at most 3, so that the load never becomes negative."""
_SINCE = 946_684_800.0  # 2000-01-01: the register counted from there

Struck: TypeAlias = Sequence[tuple[Incident, NDArray[np.bool_]]]


def measure(context: Context) -> Mapping[str, Floats]:
    """`energy_import` kWh (cumulative), `power` W, `voltage` V, `power_factor`."""
    outages = context.incidents.struck(IncidentKind.OUTAGE, context.sites)
    energy, load, live = _supplied(context, outages)
    nominal = context.sites.traits["nominal_w"] * context.sites.level
    sag = 5.2 * (load - 0.8) + 1.6 * context.shared("energy.voltage", 20) + 0.8 * context.noise("energy.voltage", 7)
    voltage = np.where(live, 127.0 - sag + 0.25 * context.jitter("energy.voltage"), 0.0)
    factor = 0.955 - 0.03 * (load - 0.8) + 0.012 * context.noise("energy.factor", 30)
    return {
        "energy_import": nominal * energy / 3.6e6,
        "power": nominal * load,
        "voltage": voltage,
        "power_factor": np.where(live, np.clip(factor, 0.7, 1.0), 0.0),
    }


def _supplied(context: Context, outages: Struck) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Energy (seconds of nominal load), load (share of nominal) and whether there is supply, after `outages`."""
    energy, load = _wanted_energy(context), _wanted_load(context)
    live = np.ones(load.shape, bool)
    for number, (incident, struck) in enumerate(outages):
        micros = context.at.micros
        after_start = struck & (micros >= to_micros(incident.start))
        if not after_start.any():
            continue
        at_start = _moved(context, incident.start, outages[:number])
        at_end = _moved(context, incident.end, outages[:number])
        out = after_start & (micros < to_micros(incident.end))
        made_up = (micros - to_micros(incident.end)) / (RECOVERY * (incident.duration / MICROSECOND))
        missed = at_end - at_start
        rate = missed * smooth_slope(made_up) / (RECOVERY * incident.duration.total_seconds())
        energy = np.where(out, at_start, np.where(after_start, energy - missed * (1.0 - smooth(made_up)), energy))
        load = np.where(out, 0.0, np.where(after_start, load + rate, load))
        live &= ~out
    return energy, load, live


def _moved(context: Context, moment: datetime, outages: Struck) -> Floats:
    """The energy supplied to each row's meter up to `moment`, under `outages`."""
    shift = (to_micros(moment) - context.at.micros) / 1e6
    micros = np.full(context.at.micros.shape, to_micros(moment))
    at = Instants(micros, context.at.local + shift, context.at.standard + shift)
    return _supplied(replace(context, at=at), outages)[0]


def _wanted_energy(context: Context) -> Floats:
    """Energy the customers want, in seconds of nominal load since `_SINCE`: the integral of `_wanted_load`."""
    clock = context.at.standard
    energy = (WEEK.integral(clock) - WEEK.integral(np.full(1, _SINCE))) / 100.0
    for minutes, amplitude in WOBBLE:
        energy = energy + amplitude * 60.0 * minutes * context.noise(f"energy.{minutes:g}", minutes)
    minutes, amplitude = SHARED_WOBBLE
    return energy + amplitude * 60.0 * minutes * context.shared("energy.shared", minutes)


def _wanted_load(context: Context) -> Floats:
    """Load the customers want, as a share of nominal: the derivative of `_wanted_energy`."""
    load = WEEK.at(context.at.standard) / 100.0
    for minutes, amplitude in WOBBLE:
        load = load + amplitude * context.noise(f"energy.{minutes:g}", minutes, of=value_noise_slope)
    minutes, amplitude = SHARED_WOBBLE
    return load + amplitude * context.shared("energy.shared", minutes, of=value_noise_slope)
