"""Names that devices use for quantities."""

import tomllib
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.fields import read_fields, unread_fields
from ingest.vocabulary import Meaning, family_of, meaning
from pulso.model import Family
from pulso.units import canonical_units, convert, unit_code

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "vocabulary.md"

CERTAIN = {
    "temperature": ["temperature", "Temperature", "temp", "air_temperature", "airTemperature", "TempC_SHT", "temp_c",
                    "Temperature (°C)", "temperatura", "BME280_Temperature", "ambient.temperature", "tempF"],
    "device_temperature": ["device_temperature", "cpuTemp", "internal_temperature"],
    "humidity": ["humidity", "Hum_SHT", "relativeHumidity", "relative_humidity", "Humidity(%)", "humedad", "RH"],
    "co2": ["co2", "CO2", "CO2_ppm", "CarbonDioxide", "co2_concentration"],
    "pm1": ["PM1", "PM1.0", "PM1_0", "pm1_0_mass_concentration"],
    "pm2_5": ["PM2.5", "PM2_5", "pm25", "pm2p5", "pm_2.5", "PM2_5_ugm3", "pm2_5_mass_concentration"],
    "pm4": ["pm4", "PM4_0"],
    "pm10": ["PM10", "pm10_0", "PM10.0", "pm_10"],
    "no2": ["no2_ppb", "NO2_ugm3"],
    "co": ["CO_mgm3", "co_ppm"],
    "tvoc": ["TVOC_ppb", "voc_ppb"],
    "pressure": ["pressure_hPa", "pressure_pa", "barometric_pressure_kpa", "Pressure [mbar]"],
    "noise": ["LAeq", "noise_db", "soundLevelDBA"],
    "aqi": ["aqi", "airQualityIndex"],
    "battery": ["batteryPercentage", "battery_pct", "bat_percent", "Battery (%)"],
    "battery_voltage": ["Bat_V", "BatV", "batv", "bat_mv", "battery_voltage_mV", "batteryV"],
    "power": ["active_power_w", "power_kW", "current_power_consumption_kw", "Power (W)"],
    "power_l1": ["active_power_l1_w", "activePowerL1_W", "power_w_l1"],
    "voltage_l1": ["active_voltage_l1_v", "voltage_at_phase_1_v", "voltage_a_V"],
    "current_l3": ["active_current_l3_a", "current_phase_c_mA"],
    "energy_import": ["total_power_import_kwh", "total_energy_consumption_kwh", "energyImport_Wh", "energia_activa_kwh",
                      "totalEnergy_MWh"],
    "energy_import_t2": ["energy_import_t2_kwh", "Active Energy Import T2 (Wh)", "energy import tariff 2 kWh"],
    "energy_export": ["total_power_export_kwh", "totalEnergyExport_kWh"],
    "reactive_power": ["reactive_power_kvar"],
    "power_factor": ["powerFactor"],
    "distance": ["distance_mm", "Distance(cm)", "distancia_cm"],
    "fill_level": ["fill_percent", "fillLevel_pct", "nivel_llenado_pct"],
    "speed": ["speed_kmh", "velocidad_kmh"],
    "parking_occupied": ["parkingOccupied"],
}  # fmt: skip

DOUBTFUL = {
    "battery": ["battery", "bat", "batteryLevel", "bateria"],
    "battery_voltage": ["batteryVoltage", "vbat"],
    "power": ["power", "potencia", "activePower", "kw"],
    "power_l2": ["activePowerL2", "b_act_power", "power_phase_b"],
    "energy_import": ["energy", "totalEnergy", "energia_activa"],
    "voltage": ["voltage", "voltaje"],
    "current": ["current", "current_a"],
    "pressure": ["pressure", "barometricPressure", "presion"],
    "distance": ["distance"],
    "fill_level": ["level", "nivel", "llenado", "fill_level", "lvl", "lvl_pct"],
    "speed": ["avg_speed_mph", "averageSpeed"],
    "occupancy": ["occ_pct", "occ"],
    "no2": ["NO2"],
    "vehicle_count": ["vehicle_count", "vehicles", "vol", "volume"],
    "people_count": ["pax"],
    "parking_occupied": ["occupied"],
    "noise": ["noise"],
    "tvoc": ["tvoc"],
    "temperature": ["TempC_DS18B20"],
}

NOTHING = [
    "pm10_number_concentration", "eCO2", "DewPoint", "dew_point", "temperatureSetpoint", "temp_max", "min_temperature",
    "co2_threshold", "humidity_alarm", "temperature_limit", "max_speed_kmh", "energy_today_kwh", "energy_yesterday_kwh",
    "rssi", "snr", "fCnt", "plate", "licensePlate", "ssid", "phone", "soil_temperature", "water_temperature_c",
    "absolute_humidity", "sea_level_pressure_hpa", "battery_low", "pm0_3", "PM100", "heatIndex", "co2_calibration",
    "totalEnergy_mwh", "power_kwh", "temperature_ppm", "", "_", "x" * 500, "foo", "pm", "timestamp", "latitude",
]  # fmt: skip


def pairs(table: dict[str, list[str]]) -> Iterable[tuple[str, str]]:
    return [(expected, name) for expected, names in table.items() for name in names]


@pytest.mark.parametrize(("expected", "name"), pairs(CERTAIN))
def test_a_name_that_leaves_no_doubt(expected: str, name: str) -> None:
    understood = meaning(name)
    assert understood is not None
    assert (understood.observed_property, understood.certain) == (expected, True)
    assert understood.unit is not None
    assert convert(expected, 1.0, understood.unit)


@pytest.mark.parametrize(("expected", "name"), pairs(DOUBTFUL))
def test_a_name_that_is_only_proposed(expected: str, name: str) -> None:
    understood = meaning(name)
    assert understood is not None
    assert (understood.observed_property, understood.certain) == (expected, False)


@pytest.mark.parametrize("name", NOTHING)
def test_a_name_that_is_no_measurement_of_ours(name: str) -> None:
    assert meaning(name) is None


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("battery", "mV", Meaning("battery_voltage", "mV", True)),
        ("battery", "%", Meaning("battery", "%", True)),
        ("distance", "cm", Meaning("distance", "cm", True)),
        ("Active Energy Import T1", "Wh", Meaning("energy_import_t1", "Wh", True)),
        ("NO2", "Parts Per Billion", Meaning("no2", "Parts Per Billion", True)),
        ("Supply Voltage", "V", Meaning("voltage", "V", True)),
        ("power", "kvar", Meaning("reactive_power", "kvar", True)),
        ("air_temperature", "°F", Meaning("temperature", "°F", True)),
        ("temp_c", "°F", Meaning("temperature", "°F", False)),  # the key contradicts
        ("level", "%", Meaning("fill_level", "%", False)),  # of what?
        ("temperature", "", Meaning("temperature", "Cel", True)),
        ("temperature", "furlong", None),
        ("pm10", "1⋅cm⁻³", None),
        ("energy_import", "varh", None),
    ],
)
def test_a_stated_unit_decides(name: str, unit: str, expected: Meaning | None) -> None:
    assert meaning(name, unit) == expected


def read(fields: dict[str, object]) -> dict[str, float]:
    return {each.observed_property: each.result for each in read_fields(fields, at=7)}


def test_fields_are_read_where_they_are_certain() -> None:
    fields = {
        "temperature": 21.5,
        "humidity": "32",
        "battery": 92,
        "distance": 2116,
        "co2": None,
        "foo": [1],
        "pm10": "x",
    }
    assert read(fields) == {"temperature": 21.5, "humidity": 32.0}
    assert {each.phenomenon_time for each in read_fields(fields, at=7)} == {7}


def test_fields_that_describe_themselves() -> None:
    fields: dict[str, object] = {
        "air_temperature": {"value": 24.3, "unit": "°C", "displayName": "Air temperature"},
        "barometric_pressure": {"value": 78130, "unit": "Pa"},
        "pm10_mass_concentration": {"value": 3.9, "unit": "µg⋅m⁻³"},
        "pm10_number_concentration": {"value": 30.1, "unit": "1⋅cm⁻³"},
        "battery_voltage": {"value": 3.109, "unit": "V"},
        "s4": {"value": 612, "unit": "ppm", "displayName": "CO2 concentration"},
        "humidity": {"value": 41, "unit": "furlong"},
    }
    assert read(fields) == {
        "temperature": 24.3,
        "pressure": 781.3,
        "pm10": 3.9,
        "battery_voltage": 3.109,
        "co2": 612.0,
    }
    pressure = next(each for each in read_fields(fields, at=None) if each.observed_property == "pressure")
    assert (pressure.unit, pressure.sent_result, pressure.sent_unit) == ("hPa", 78130.0, "Pa")


def test_a_unit_behind_the_number_counts_as_stated() -> None:
    assert read({"Distance": "279.9 cm", "humidity": "40 furlong", "date": "21 nov"}) == {"distance": 2799.0}


def test_nested_fields_count_by_their_own_name_but_not_below_another_medium() -> None:
    assert read({"air": {"temperature": 21.5}, "soil": {"humidity": 4}, "max": {"co2": 900}}) == {"temperature": 21.5}


def test_of_two_fields_the_shallower_then_the_plainer_counts_and_else_none() -> None:
    assert read({"inside": {"temperature": 30}, "temperature": 20}) == {"temperature": 20.0}
    assert read({"temp_f": 86, "temperature": 20}) == {"temperature": 20.0}
    assert read({"temperature_sht": 20, "temperature_bme280": 21, "humidity": 3}) == {"humidity": 3.0}
    assert read({"temp": 20, "temperature": 20}) == {"temperature": 20.0}


def test_booleans_are_read_only_where_the_property_is_one() -> None:
    assert read({"parking_occupied": True, "temperature": True, "co2": False}) == {"parking_occupied": 1.0}
    assert read({"parking_occupied": 0}) == {"parking_occupied": 0.0}
    assert read({"parking_occupied": 0.4}) == {}


def test_a_humidity_that_may_be_a_share_needs_its_unit() -> None:
    assert read({"relativeHumidity": 0.54}) == {}
    assert read({"relativeHumidity": {"value": 0.54, "unit": "%"}}) == {"humidity": 0.54}
    assert read({"relativeHumidity": {"value": 0.54, "unit": "C62"}}) == {"humidity": 54.0}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"batteryVoltage": 3.3}, {"battery_voltage": 3.3}),
        ({"batteryVoltage": 3300}, {"battery_voltage": 3.3}),
        ({"battery": 3250}, {"battery_voltage": 3.25}),
        ({"batteryVoltage": 33}, {}),  # tenths of a volt
        ({"batteryVoltage": 330}, {}),
        ({"battery": 3.3}, {}),  # or percent
        ({"battery": 97}, {}),
        ({"vdd": 3300, "inputVoltage": 12}, {}),
        ({"batteryVoltage": True}, {}),
    ],
)
def test_the_voltage_of_a_battery_tells_its_unit_by_its_size(fields: dict[str, object], told: dict[str, float]) -> None:
    assert read(fields) == told
    assert bool(unread_fields(fields)) is (not told and fields != {"batteryVoltage": True})


def test_the_same_in_two_units_is_told_once() -> None:
    assert read({"temp_c": 21.4, "temp_f": 70.5}) == {"temperature": 21.4}
    assert read({"temp_c": 21.4, "temp_f": 73.5}) == {}


def test_a_frequency_is_the_one_of_mains() -> None:
    assert read({"frequency": {"value": 15350.4, "unit": "Hz"}}) == {}
    assert read({"frequency": {"value": 59.98, "unit": "Hz"}}) == {"frequency": 59.98}


def test_a_register_of_a_phase_and_a_tariff_has_both() -> None:
    fields: dict[str, object] = {
        name: {"data": 1500, "unit": "Wh"}
        for name in ("activeEnergyImportL1T2", "activeEnergyExportL123T1", "activeEnergyImportL123")
    }
    assert read(fields) == {"energy_import_l1_t2": 1.5, "energy_export_t1": 1.5, "energy_import": 1.5}


def test_records_that_say_what_they_are_are_read_unless_they_say_when() -> None:
    records = [{"name": "temperature", "value": 21.5, "unit": "°C"}, {"type": "co2", "value": 512}, {"value": 3}, "x"]
    assert read({"readings": records}) == {"temperature": 21.5, "co2": 512.0}
    assert read({"readings": [records[0], {"name": "co2", "value": 512, "time": "2026-05-04T07:00:00Z"}]}) == {}
    assert read({"readings": [records[0], {"name": "temperature", "value": 22.5, "unit": "°C"}]}) == {}
    titled = unread_fields({"readings": [{"name": "AB-12", "value": 4}, {"label": "lvl", "value": 5}]})
    assert titled == ["readings[]"], "a title is text of the message, which may be personal, and no name of a field"


def test_hostile_depth_and_number_have_an_end() -> None:
    deep: dict[str, object] = {"temperature": 1.0}
    for _ in range(5000):
        deep = {"a": deep}
    assert read(deep) == {}
    assert len(read({f"x{n}": {"temperature": n} for n in range(100_000)})) == 0


@given(st.dictionaries(st.text(max_size=20), st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["value", "unit", "temp", "pm10"]), inner),
    max_leaves=10,
)))  # fmt: skip
def test_any_fields_give_distinct_properties_in_canonical_units(fields: dict[str, object]) -> None:
    observations = read_fields(fields, at=None)
    names = [each.observed_property for each in observations]
    assert len(set(names)) == len(names)
    assert all(each.unit in (canonical_units(each.observed_property) or ()) for each in observations)


@given(st.text(max_size=120), st.none() | st.text(max_size=10))
def test_any_name_has_a_meaning_or_none(name: str, unit: str | None) -> None:
    understood = meaning(name, unit)
    assert understood is None or canonical_units(understood.observed_property) is not None


@pytest.mark.parametrize(
    ("properties", "family"),
    [
        (["pm2_5", "battery"], Family.AIR),
        (["noise"], Family.AIR),
        (["temperature", "humidity"], Family.AIR),
        (["temperature"], Family.AIR),
        (["fill_level", "temperature"], Family.WASTE),
        (["distance", "battery", "temperature"], Family.WASTE),
        (["weight"], Family.WASTE),
        (["power_l1", "device_temperature"], Family.ENERGY),
        (["energy_import_t1"], Family.ENERGY),
        (["voltage"], Family.ENERGY),
        (["vehicle_count_ltr", "speed_ltr"], Family.TRAFFIC),
        (["parking_occupied", "temperature"], Family.TRAFFIC),
        (["people_count"], Family.TRAFFIC),
        (["occupancy"], Family.TRAFFIC),
        (["battery"], None),
        (["battery_voltage", "device_temperature"], None),
        ([], None),
        (["strange"], None),
    ],
)
def test_the_family_follows_from_what_is_observed(properties: list[str], family: Family | None) -> None:
    assert family_of(properties) is family


def reference_row(table: dict[str, Any]) -> str:
    agreed = table.get("agreed_words", table["words"] if table.get("agreed", False) else [])
    groups = (agreed, [word for word in table["words"] if word not in agreed], table.get("doubtful", []))
    cells = (", ".join(f"`{word}`" for word in group) for group in groups)
    return f"| `{table['property']}` | {' | '.join(cells)} |"


def test_the_reference_lists_the_names() -> None:
    document = tomllib.loads((files("ingest") / "vocabulary.toml").read_text(encoding="utf-8"))
    documented = [line for line in REFERENCE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert documented == [reference_row(table) for table in document["name"]]


def test_the_tables_are_consistent() -> None:
    document = tomllib.loads((files("ingest") / "vocabulary.toml").read_text(encoding="utf-8"))
    words = Counter(w for table in document["name"] for w in {*table["words"], *table.get("doubtful", ())})
    assert [word for word, times in words.items() if times > 1] == []
    assert [word for word in words if word != word.lower() or not word.isalnum()] == []
    for table in document["name"]:
        assert canonical_units(table["property"]), table
        assert set(table.get("agreed_words", ())) <= set(table["words"]), table
        if "unit" in table:
            assert convert(table["property"], 1.0, table["unit"])
    assert [unit for unit in document["key_units"].values() if unit_code(unit) is None] == []
    assert words.keys().isdisjoint(document["tokens"]["never"])


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("temperature", 327.67),
        ("temperature", -127),
        ("temperature", -999),
        ("temperature", -3276.8),
        ("humidity", 655.35),
        ("humidity", 255),
        ("co2", 65535),
        ("pm2_5", -1),
        ("distance_mm", 65535),
    ],
)
def test_a_number_that_stands_for_no_reading_is_left_out(name: str, number: float) -> None:
    assert read({name: number}) == {}


def test_a_counter_goes_through_all_numbers() -> None:
    assert read({"energy_import_kwh": 65535}) == {"energy_import": 65535}


def test_a_value_named_data_needs_its_unit_beside_it() -> None:
    fields: dict[str, object] = {"activePowerL1": {"data": 1.5, "unit": "kW"}, "temperature": {"data": 20}}
    assert read(fields) == {"power_l1": 1500}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 68, "temperature_unit": "F"}, {"temperature": 20}),
        ({"temperature": 68, "temperatureUnit": "°F", "humidity": 40}, {"temperature": 20, "humidity": 40}),
        ({"temperature": 68, "units": {"temperature": "F"}}, {"temperature": 20}),
        ({"temperature": 68, "humidity": 40, "unit": "fahrenheit"}, {"temperature": 20, "humidity": 40}),
        ({"distance": 120, "distance_unit": "cm"}, {"distance": 1200}),
        ({"temperature": 68, "temperature_unit": "furlong"}, {}),
        ({"temperature": 20, "unit": "metric"}, {"temperature": 20}),
        ({"temp_c": 20, "unit": "F"}, {"temperature": 20}),
    ],
)
def test_a_unit_that_another_field_states_counts(fields: dict[str, object], expected: dict[str, float]) -> None:
    assert read(fields) == pytest.approx(expected)
