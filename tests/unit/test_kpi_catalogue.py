"""Definitions: what the shipped ones promise, and how wrong ones are refused."""

from datetime import timedelta

import pytest

from kpi_engine.catalogue import load_catalogue, prepare
from kpi_engine.formulas import formulas
from pulso.city import KpiDefinition, load_pack
from pulso.errors import ConfigurationError
from pulso.model import Family
from pulso.units import canonical_units

PACK = load_pack("cdmx")


def test_every_family_has_at_least_two_indicators() -> None:
    families = [definition.family for definition in PACK.kpis.values()]
    assert all(families.count(family) >= 2 for family in Family)


@pytest.mark.parametrize("definition", PACK.kpis.values(), ids=lambda definition: definition.id)
def test_shipped_definitions_are_complete(definition: KpiDefinition) -> None:
    assert definition.title.es
    assert definition.title.en
    assert definition.source
    assert all(canonical_units(wanted.property) for wanted in definition.inputs.values())
    states = [band.state for band in definition.bands]
    assert len(states) == len(set(states))


@pytest.mark.parametrize(
    "definition", [each for each in PACK.kpis.values() if each.bands], ids=lambda definition: definition.id
)
@pytest.mark.parametrize("value", [0, 1e-6, 1, 2, 2.5, 5, 8, 15, 25, 50, 79, 80, 90, 95, 100, 130, 1e6])
def test_bands_cover_every_value_once(definition: KpiDefinition, value: float) -> None:
    assert len([band for band in definition.bands if band.contains(value)]) == 1


def test_every_registered_formula_is_documented() -> None:
    for name, formula in formulas.items():
        assert formula.compute.__doc__, name


def test_a_changed_definition_is_another_version() -> None:
    definition = PACK.kpi("traffic_mean_speed")
    assert definition.model_copy(update={"minimum_coverage": 0.6}).version != definition.version
    assert KpiDefinition.model_validate(definition.model_dump()).version == definition.version


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"formula": "magic"}, "unknown formula 'magic'"),
        ({"parameters": {"minimum_sped": 3}}, "unknown parameters minimum_sped"),
        ({"inputs": {}}, "takes the inputs speed, vehicle_count"),
    ],
)
def test_faults_of_a_definition_are_named(change: dict[str, object], complaint: str) -> None:
    definition = PACK.kpi("traffic_mean_speed").model_copy(update=change)
    with pytest.raises(ConfigurationError, match=complaint):
        prepare(definition, PACK)


def test_hourly_formulas_need_whole_hours() -> None:
    definition = PACK.kpi("air_pm25_hourly")
    shape = definition.window.model_copy(update={"length": timedelta(minutes=30), "step": timedelta(minutes=30)})
    with pytest.raises(ConfigurationError, match="whole 60 minutes"):
        prepare(definition.model_copy(update={"window": shape}), PACK)


def test_the_catalogue_has_every_definition() -> None:
    assert {indicator.definition.id for indicator in load_catalogue(PACK)} == set(PACK.kpis)
