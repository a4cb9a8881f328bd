"""Energy meters: one register that only ever rises, and power as exactly its derivative.

The register is a closed form of time: the integral of a weekly load curve plus a bounded smooth wobble. An outage
holds it still; afterwards the load that was missed is made up (cold-load pick-up), so that nothing of an outage has
to be remembered for ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

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


@dataclass(frozen=True, slots=True)
class _Outage:
    """One outage: the rows it struck, and their energy (seconds of nominal load) at its start and wanted meanwhile."""

    incident: Incident
    struck: NDArray[np.bool_]
    at_start: Floats
    missed: Floats


@dataclass(frozen=True, slots=True)
class _Supply:
    """Energy (seconds of nominal load), load (share of nominal) and whether there is any, by row."""

    energy: Floats
    load: Floats
    live: NDArray[np.bool_]


def measure(context: Context) -> Mapping[str, Floats]:
    """`energy_import` kWh (cumulative), `power` W, `voltage` V, `power_factor`."""
    supply = _supplied(context)
    energy, load, live = supply.energy, supply.load, supply.live
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


def _supplied(context: Context) -> _Supply:
    """What each row's customers get, outages and their making up included.

    An outage finds the register where those before it left it, so they are worked out one after the other.
    """
    known: list[_Outage] = []
    for incident, struck in context.incidents.struck(IncidentKind.OUTAGE, context.sites):
        if (struck & (context.at.micros >= to_micros(incident.start))).any():
            at_start = _at_moment(context, incident.start, known)
            known.append(_Outage(incident, struck, at_start, _at_moment(context, incident.end, known) - at_start))
    return _after(context, known)


def _at_moment(context: Context, moment: datetime, outages: Sequence[_Outage]) -> Floats:
    """The energy supplied to each row's meter up to `moment`, after `outages`."""
    shift = (to_micros(moment) - context.at.micros) / 1e6
    micros = np.full(context.at.micros.shape, to_micros(moment))
    at = Instants(micros, context.at.local + shift, context.at.standard + shift)
    return _after(replace(context, at=at), outages).energy


def _after(context: Context, outages: Sequence[_Outage]) -> _Supply:
    """The supply after `outages`, oldest first: none while one lasts, and then what was missed on top."""
    energy, load = _wanted_energy(context), _wanted_load(context)
    live = np.ones(load.shape, bool)
    micros = context.at.micros
    for outage in outages:
        start, end = to_micros(outage.incident.start), to_micros(outage.incident.end)
        duration = outage.incident.duration
        after_start = outage.struck & (micros >= start)
        out = after_start & (micros < end)
        made_up = (micros - end) / (RECOVERY * (duration / MICROSECOND))
        rate = outage.missed * smooth_slope(made_up) / (RECOVERY * duration.total_seconds())
        still_missed = outage.missed * (1.0 - smooth(made_up))
        energy = np.where(out, outage.at_start, np.where(after_start, energy - still_missed, energy))
        load = np.where(out, 0.0, np.where(after_start, load + rate, load))
        live &= ~out
    return _Supply(energy, load, live)


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
