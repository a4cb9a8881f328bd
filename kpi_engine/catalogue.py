"""Definitions made ready to compute: formula found, parameters complete, windows aligned, tables loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from kpi_engine.formulas import Formula, formulas
from kpi_engine.formulas.nom172 import BandTable, load_bands
from kpi_engine.windows import HOUR, SlidingWindows, local_phase
from pulso.city import CityPack, KpiDefinition
from pulso.errors import ConfigurationError

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Indicator:
    """One definition with everything its computation needs. `reach` and `lateness` in minutes."""

    definition: KpiDefinition
    version: str
    formula: Formula
    parameters: Mapping[str, float | str]
    windows: SlidingWindows
    reach: int
    lateness: int
    bands: BandTable | None
    timezone: ZoneInfo


def load_catalogue(pack: CityPack) -> tuple[Indicator, ...]:
    """Every indicator of a city pack. Raises ConfigurationError naming every fault at once."""
    indicators: list[Indicator] = []
    faults: list[str] = []
    for definition in pack.kpis.values():
        try:
            indicators.append(prepare(definition, pack))
        except ConfigurationError as error:
            faults.append(f"kpi {definition.id}: {error}")
    if faults:
        raise ConfigurationError(f"the KPI definitions of {pack.city.id!r} are not usable:", faults=faults)
    return tuple(indicators)


def prepare(definition: KpiDefinition, pack: CityPack) -> Indicator:
    """One indicator. Raises ConfigurationError."""
    formula = formulas[definition.formula]
    _check_names(definition, formula)
    length, step = definition.window.length // _MINUTE, definition.window.step // _MINUTE
    if length % formula.resolution or step % formula.resolution:
        raise ConfigurationError(f"formula {definition.formula!r} needs windows of whole {formula.resolution} minutes")
    parameters = {**formula.parameters, **definition.parameters}
    return Indicator(
        definition=definition,
        version=definition.version,
        formula=formula,
        parameters=MappingProxyType(parameters),
        windows=SlidingWindows(length, step, local_phase(pack.timezone) % HOUR),
        reach=int(parameters[formula.reach]) if formula.reach else 0,
        lateness=-(-definition.allowed_lateness // _MINUTE),
        bands=load_bands(pack.path / "bands" / definition.band_table) if definition.band_table else None,
        timezone=pack.timezone,
    )


def _check_names(definition: KpiDefinition, formula: Formula) -> None:
    inputs = set(definition.inputs)
    if inputs - formula.inputs or (formula.all_inputs and formula.inputs - inputs):
        wanted = ", ".join(sorted(formula.inputs))
        raise ConfigurationError(
            f"formula {definition.formula!r} takes the inputs {wanted}; given: {', '.join(sorted(inputs))}"
        )
    unknown = definition.parameters.keys() - formula.parameters.keys()
    if unknown:
        known = ", ".join(sorted(formula.parameters)) or "none"
        raise ConfigurationError(
            f"unknown parameters {', '.join(sorted(unknown))} of {definition.formula!r}; known: {known}"
        )
