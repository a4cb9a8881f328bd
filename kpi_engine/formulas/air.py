"""Air quality of a zone, from clock-hour means of its stations."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from kpi_engine.formulas.base import HOUR, Floats, Outcome, Scope, divide, everyone, formula
from kpi_engine.formulas.nom172 import FACTOR, BandTable, weighted_mean
from pulso.errors import ConfigurationError

_MINIMUM_SAMPLES: Mapping[str, float | str] = MappingProxyType({"minimum_samples": 0.75})
_POLLUTANTS = MappingProxyType({"pm2_5": "PM2.5", "pm10": "PM10", "o3": "O3", "no2": "NO2"})
_PPM_PER_PPB = 0.001
_NAMED = 5  # most stations named in `detail`; whole micrograms tie often


def hourly_means(scope: Scope, name: str) -> Floats:
    """Clock-hour means (windows, hours oldest first, stations); NaN where fewer samples are there than the rule asks.

    An hour is valid with 75 % of the expected samples, 45 minutes (completeness rule of the Mexican air norms).
    """
    mean = scope.inputs[name].mean()
    samples = scope.inputs[name].field("count") * scope.things.interval / 3600
    return np.where(samples >= scope.number("minimum_samples"), mean, np.nan)[scope.slots.place]


def weighted_12h(scope: Scope, name: str) -> Floats:
    """NOM-172 weighted 12-hour mean per window and station, µg/m³; NaN where not valid."""
    return weighted_mean(hourly_means(scope, name)[:, ::-1].swapaxes(1, 2), FACTOR[_POLLUTANTS[name]])


def _bands(scope: Scope) -> BandTable:
    if scope.bands is None:
        raise ConfigurationError("a NOM-172 formula needs a band_table in its definition")
    return scope.bands


@formula("hourly_mean", inputs=("concentration",), resolution=HOUR, parameters=_MINIMUM_SAMPLES)
def hourly_mean(scope: Scope) -> Outcome:
    """Mean over the stations of a zone of their valid clock-hour means, in the unit of the input."""
    total = scope.things.zoning.total
    means = hourly_means(scope, "concentration")[:, -1]
    valid = ~np.isnan(means)
    value = divide(total(np.nan_to_num(means)), total(valid.astype(float)))
    return Outcome(value, total(scope.reported("concentration")), total(everyone(scope)))


def _weighted_mean_outcome(scope: Scope, name: str) -> Outcome:
    zoning = scope.things.zoning
    means = weighted_12h(scope, name)
    worst = zoning.largest(np.nan_to_num(means, nan=-np.inf))
    value = np.where(np.isfinite(worst), worst, np.nan)
    hours = (~np.isnan(hourly_means(scope, name))).mean(axis=1)
    band = np.nan_to_num(_bands(scope).index(_POLLUTANTS[name], value, scope.local_dates), nan=-1).astype(np.int64)

    def detail(window: int, zone: int) -> Mapping[str, object]:
        first, end = zoning.bounds[zone]
        responsible = np.flatnonzero(means[window, first:end] == value[window, zone]) + first
        names = [scope.things.external_ids[place] for place in responsible[:_NAMED]]
        return {"stations": names, "responsible": len(responsible)}

    return Outcome(value, zoning.total(hours), zoning.total(everyone(scope)), band, detail)


@formula("nom172_pm2_5_12h", inputs=("pm2_5",), resolution=HOUR, parameters=_MINIMUM_SAMPLES)
def pm2_5_12h(scope: Scope) -> Outcome:
    """Weighted 12-hour mean of PM2.5 of the worst station of a zone, µg/m³ (NOM-172-SEMARNAT-2023).

    The band is the one in force on the day of the observation. Stations are never averaged: the worst one speaks.
    """
    return _weighted_mean_outcome(scope, "pm2_5")


@formula("nom172_index", inputs=tuple(_POLLUTANTS), all_inputs=False, resolution=HOUR, parameters=_MINIMUM_SAMPLES)
def nom172_index(scope: Scope) -> Outcome:
    """Air and health index 0 (Buena) to 4 (Extremadamente mala): the worst band over pollutants and stations of a zone.

    Particles by their weighted 12-hour mean, ozone and nitrogen dioxide by the mean of the newest hour, in ppm. The
    index of NOM-172-SEMARNAT-2023 is a band, not a number to interpolate. Pollutants that share the worst band are all
    responsible and stand in `detail`. Coverage: valid sub-indices over the pollutants the stations measure.
    """
    zoning, names = scope.things.zoning, [name for name in _POLLUTANTS if name in scope.inputs]
    by_pollutant = {name: _band_index(scope, name) for name in names}
    worst = {name: zoning.largest(np.nan_to_num(index, nan=-np.inf)) for name, index in by_pollutant.items()}
    overall = np.max(list(worst.values()), axis=0)
    value = np.where(np.isfinite(overall), overall, np.nan)
    measured = {name: np.broadcast_to(scope.things.streams[name] >= 0, by_pollutant[name].shape) for name in names}

    def detail(window: int, zone: int) -> Mapping[str, object]:
        responsible = [name for name in names if worst[name][window, zone] == value[window, zone]]
        return {"pollutants": [_POLLUTANTS[name] for name in responsible]}

    return Outcome(
        value,
        zoning.total(np.sum([~np.isnan(index) for index in by_pollutant.values()], axis=0).astype(float)),
        zoning.total(np.sum(list(measured.values()), axis=0).astype(float)),
        np.nan_to_num(value, nan=-1).astype(np.int64),
        detail,
    )


def _band_index(scope: Scope, name: str) -> Floats:
    """Band index per window and station of one pollutant."""
    is_gas = _POLLUTANTS[name] not in FACTOR
    values = hourly_means(scope, name)[:, -1] * _PPM_PER_PPB if is_gas else weighted_12h(scope, name)
    return _bands(scope).index(_POLLUTANTS[name], values, scope.local_dates)
