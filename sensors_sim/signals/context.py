"""What a signal may depend on, and nothing else."""

from dataclasses import dataclass

import numpy as np

from sensors_sim.city import Sites
from sensors_sim.incidents import IncidentKind, Incidents
from sensors_sim.noise import Floats, Noise, channel, field, normal, value_noise
from sensors_sim.rhythm import Instants


@dataclass(frozen=True, slots=True)
class Context:
    """Rows of (site, instant) in one city; all columns are equally long."""

    sites: Sites
    at: Instants
    incidents: Incidents
    seed: int

    def noise(self, name: str, minutes: float, of: Noise = value_noise) -> Floats:
        """Smooth noise in [-1, 1] of each thing's own, with a knot every `minutes`; or its slope per knot."""
        return of(channel(self.seed, name), self.sites.key, self.at.seconds / (60.0 * minutes))

    def shared(self, name: str, minutes: float, of: Noise = value_noise) -> Floats:
        """Smooth noise in [-1, 1] that sites near each other share; or its slope per knot."""
        position = self.at.seconds / (60.0 * minutes)
        return field(channel(self.seed, name), self.sites.latitude, self.sites.longitude, position, of)

    def jitter(self, name: str) -> Floats:
        """Standard normal scatter of the single measurement, independent from one instant to the next."""
        return normal(channel(self.seed, name), self.sites.key, self.at.micros)

    def felt(self, kind: IncidentKind) -> Floats:
        """How strongly incidents of this kind are felt, 0 to 1."""
        return self.incidents.intensity(kind, self.sites, self.at.micros)


def ambient_temperature(context: Context) -> Floats:
    """Outdoor temperature in °C: a mild highland day, warmest at 15 h, cooler in winter and on higher ground."""
    hour = (context.at.local % 86_400.0) / 3600.0
    year = (context.at.local / 86_400.0 / 365.2425) % 1.0
    season = 2.2 * np.cos(2 * np.pi * (year - 0.36))  # warmest about the tenth of May
    highland = 30.0 * np.clip(19.32 - context.sites.latitude, 0.0, 0.2)
    daily = 6.5 * np.cos(2 * np.pi * (hour - 15.0) / 24.0)
    return (
        17.0
        + season
        + daily
        - highland
        + 1.8 * context.shared("temperature", 360)
        + 0.15 * context.jitter("temperature")
    )
