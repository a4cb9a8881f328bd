"""Units as messages spell them, and what they are converted into."""

import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulso.errors import DecodeError, RejectReason
from pulso.unit_spellings import spellings
from pulso.units import (
    CANONICAL_UNITS,
    Converted,
    admitted_units,
    convert,
    kind_of,
    normalise,
    stem_of,
    unit_code,
)

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "units.md"

SPELLINGS = {
    "Cel": ["Cel", "°C", "℃", "ºC", "˚C", "C", "c", "degC", "deg C", "CEL", "grados C", "Grados Celsius",
            "degrees celsius", "unit:DEG_C", "http://qudt.org/vocab/unit/DEG_C"],
    "[degF]": ["°F", "℉", "FAH", "degF", "[degF]"],
    "%": ["%", "P1", "pct", "percent", "%RH", "%rh", "% RH", "%EL", "porcentaje", "PERCENT"],
    "ug/m3": ["µg/m³", "μg/m³", "ug/m3", "ug/m^3", "µg⋅m⁻³", "µg m-3".replace(" ", "."), "µg·m⁻³", "㎍/㎥", "GQ",
              "Micrograms Per Cubic Meter", "microgramos por metro cúbico", "MicroGM-PER-M3"],
    "mg/m3": ["GP", "mg/m³", "mg⋅m⁻³"],
    "ppb": ["61", "ppb", "PPB", "Parts Per Billion", "[ppb]", "nmol/mol"],
    "ppm": ["59", "ppm", "Parts Per Million", "partes por millón"],
    "m/s": ["MTS", "m/s", "m⋅s⁻¹", "m.s-1", "meters per second"],
    "km/h": ["KMH", "km/h", "kmh", "kph", "km/hr", "kilómetros por hora"],
    "[mi_i]/h": ["HM", "mph"],
    "[kn_i]": ["KNT", "kn", "knots", "nudos"],
    "hPa": ["hPa", "hpa", "A97", "HPA", "HectoPA"],
    "Pa": ["Pa", "PAL", "pascal"],
    "mbar": ["MBR", "mbar", "mb"],
    "W": ["W", "w", "WTT", "watts"],
    "mW": ["mW", "C31"],
    "MW": ["MW", "MAW"],
    "kW": ["kW", "KW", "kw", "KWT", "KiloW"],
    "kWh": ["kWh", "KWH", "kwh", "kW⋅h", "kW·h", "kilowatt hours"],
    "mWh": ["mWh"],
    "MWh": ["MWh", "MWH"],
    "var": ["var", "VAr", "VAR", "D44"],
    "VA": ["VA", "V.A", "D46"],
    "mV": ["mV", "mv", "2Z", "MilliV"],
    "MV": ["MV"],
    "mA": ["mA", "ma", "4K"],
    "Hz": ["Hz", "HTZ", "hertz"],
    "dB": ["dB", "dBA", "dB(A)", "2N", "dbspl", "decibelios"],
    "1": ["1", "C62", "count", "vehicles", "veh", "{vehicles}", "vehículos", "peatones"],
    "/h": ["veh/h", "1/h", "{vehicles}/h"],
    "fraction": ["fraction", "ratio", "/"],
    "/cm3": ["1⋅cm⁻³", "#/cm3"],
    "t": ["t", "Mg", "TNE", "2U"],
    "mg": ["mg", "MGM"],
    "mPa": ["mPa", "74"],
    "mm": ["mm", "MM", "MMT"],
    "Mvar": ["MVAR", "MAR"],
    "mm[Hg]": ["mmHg", "HN"],
    "[in_i'Hg]": ["inHg"],
}  # fmt: skip


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in SPELLINGS.items() for text in texts])
def test_a_unit_is_known_by_its_spellings(code: str, text: str) -> None:
    assert unit_code(text) == code


@pytest.mark.parametrize(
    "text", ["mw", "mwh", "mhz", "mj", "MG", "mpa", "M", "k", "G", "x", "", "furlong", "°C/m", "m-3/h", "W" * 65]
)
def test_what_is_unknown_or_may_be_two_units_is_none(text: str) -> None:
    assert unit_code(text) is None


@pytest.mark.parametrize(
    ("observed_property", "value", "unit", "result", "canonical"),
    [
        ("temperature", 69.8, "°F", 21.0, "Cel"),
        ("temperature", -40, "FAH", -40.0, "Cel"),
        ("temperature", 300, "K", 26.85, "Cel"),
        ("device_temperature", 104, "degF", 40.0, "Cel"),
        ("pressure", 96800, "Pa", 968.0, "hPa"),
        ("pressure", 78.13, "kPa", 781.3, "hPa"),
        ("pressure", 0.7813, "bar", 781.3, "hPa"),
        ("pressure", 781.3, "mbar", 781.3, "hPa"),
        ("pressure", 760, "Torr", 1013.25, "hPa"),
        ("energy_import_t1", 1810, "Wh", 1.81, "kWh"),
        ("energy_import", 9453146, "Wh", 9453.146, "kWh"),
        ("energy_export", 0.12, "MWh", 120.0, "kWh"),
        ("energy_import", 3.6, "MJ", 1.0, "kWh"),
        ("energy_interval", 7200, "J", 0.002, "kWh"),
        ("power", 0.951, "kW", 951.0, "W"),
        ("power_l1", -0.07, "kW", -70.0, "W"),
        ("reactive_power", 0.282, "kvar", 282.0, "var"),
        ("apparent_power", 2.65, "kVA", 2650.0, "VA"),
        ("voltage_l2", 230000, "mV", 230.0, "V"),
        ("battery_voltage", 3642, "mV", 3.642, "V"),
        ("voltage", 13.8, "kV", 13800.0, "V"),
        ("current", 121, "mA", 0.121, "A"),
        ("frequency", 0.06, "kHz", 60.0, "Hz"),
        ("distance", 49, "cm", 490.0, "mm"),
        ("distance", 1.2, "m", 1200.0, "mm"),
        ("distance", 1, "in", 25.4, "mm"),
        ("distance", 1, "ft", 304.8, "mm"),
        ("speed", 10, "m/s", 36.0, "km/h"),
        ("speed_north", 100, "mph", 160.9344, "km/h"),
        ("speed", 1, "kn", 1.852, "km/h"),
        ("weight", 1500, "g", 1.5, "kg"),
        ("weight", 0.3, "t", 300.0, "kg"),
        ("weight", 1, "lb", 0.45359237, "kg"),
        ("no2", 0.0038, "ppm", 3.8, "ppb"),
        ("no2", 0.045, "mg/m3", 45.0, "ug/m3"),
        ("co", 400, "ppb", 0.4, "ppm"),
        ("co", 0.5, "GP", 500.0, "ug/m3"),
        ("co2", 0.0412, "%", 412.0, "ppm"),
        ("co2", 412000, "ppb", 412.0, "ppm"),
        ("tvoc", 0.5, "ppm", 500.0, "ppb"),
        ("humidity", 0.54, "fraction", 54.0, "%"),
        ("humidity", 0.54, "C62", 54.0, "%"),
        ("occupancy", 0.07, "ratio", 7.0, "%"),
        ("power_factor", 95, "%", 0.95, "1"),
        ("parking_occupied", 1, "bool", 1.0, "1"),
        ("parking_occupied", 1, "/", 1.0, "1"),
        ("travel_time", 1500, "ms", 1.5, "s"),
        ("travel_time", 1.5, "min", 90.0, "s"),
        ("travel_time", 0.25, "HUR", 900.0, "s"),
    ],
)
def test_a_value_is_converted_exactly_and_kept_as_sent(
    observed_property: str, value: float, unit: str, result: float, canonical: str
) -> None:
    assert convert(observed_property, value, unit) == Converted(result, canonical, value, unit)


@pytest.mark.parametrize(
    ("observed_property", "unit", "canonical"),
    [
        ("no2", "Parts Per Billion", "ppb"),
        ("no2", "Micrograms Per Cubic Meter", "ug/m3"),
        ("vehicle_count_heavy", "veh", "1"),
        ("pressure", "hpa", "hPa"),
        ("noise", "dB(A)", "dB"),
        ("aqi", "", "1"),
    ],
)
def test_another_spelling_of_a_canonical_unit_is_no_conversion(
    observed_property: str, unit: str, canonical: str
) -> None:
    assert convert(observed_property, 3.888, unit) == Converted(3.888, canonical, None, None)


@pytest.mark.parametrize(
    ("observed_property", "unit"),
    [
        ("energy_import", "varh"),
        ("energy_import", "kW"),
        ("power", "kWh"),
        ("power", "VA"),
        ("power", "dBm"),
        ("vehicle_count", "veh/h"),
        ("vehicle_count", "%"),
        ("tvoc", "ug/m3"),
        ("co2", "ug/m3"),
        ("pm10", "1⋅cm⁻³"),
        ("pm10", "ppb"),
        ("battery", "V"),
        ("battery", "vehicles"),
        ("temperature", "%"),
        ("temperature", "°"),
        ("noise", "dBm"),
        ("humidity", "g/m3"),
    ],
)
def test_a_unit_of_another_quantity_is_refused_and_told_what_is_admitted(observed_property: str, unit: str) -> None:
    with pytest.raises(DecodeError, match=re.escape(CANONICAL_UNITS[observed_property][0])) as refused:
        convert(observed_property, 1.0, unit)
    assert refused.value.reason is RejectReason.UNIT_MISMATCH


@pytest.mark.parametrize("unit", ["furlong", "mw", "", "W" * 1000, "\x00", "W\n\nX"])
def test_an_unknown_unit_is_refused_and_never_guessed(unit: str) -> None:
    with pytest.raises(DecodeError) as refused:
        convert("power", 1.0, unit)
    assert refused.value.reason is RejectReason.UNKNOWN_UNIT
    assert len(refused.value.detail) < 300


def test_a_property_outside_the_vocabulary_keeps_its_value_in_the_code_of_its_unit() -> None:
    assert convert("uv_index", 3, "1") == Converted(3.0, "1", None, None)
    assert convert("soil_temperature", 70, "°F") == Converted(70.0, "[degF]", None, None)
    assert convert("salt", 3, "PSU") == Converted(3.0, "PSU", None, None)
    with pytest.raises(DecodeError):
        convert("salt", 3, "a\x07b")


@given(st.text(max_size=80), st.sampled_from([*CANONICAL_UNITS, "stranger"]), st.floats(allow_nan=False))
def test_any_text_is_converted_or_refused(unit: str, observed_property: str, value: float) -> None:
    try:
        converted = convert(observed_property, value, unit)
    except DecodeError as error:
        assert error.reason in (RejectReason.UNKNOWN_UNIT, RejectReason.UNIT_MISMATCH)  # noqa: PT017 (both ways are right)
    else:
        assert observed_property == "stranger" or converted.unit in CANONICAL_UNITS[observed_property]


@pytest.mark.parametrize("observed_property", CANONICAL_UNITS)
def test_every_unit_we_say_is_admitted_is_converted(observed_property: str) -> None:
    for unit in admitted_units(observed_property):
        assert convert(observed_property, 1.0, unit).unit in CANONICAL_UNITS[observed_property]


def test_no_spelling_stands_for_two_units() -> None:
    source = Path(sys.modules["pulso.unit_spellings"].__file__ or "").with_suffix(".toml")
    document = tomllib.loads(source.read_text(encoding="utf-8"))
    document.pop("admits")
    claimed = Counter(
        text
        for units in document.values()
        for code, unit in units.items()
        for text in {code, *unit["spellings"], *unit.get("cefact", ())}
    )
    assert [text for text, times in claimed.items() if times > 1] == []
    assert all(unit_code(text) is not None for text in claimed)


def test_canonical_units_are_known_and_convertible() -> None:
    table = spellings()
    codes = {code for units in CANONICAL_UNITS.values() for code in units}
    assert {code: kind_of(code) for code in codes if kind_of(code) is None or code not in table.pint} == {}
    assert {normalise(code) for code in codes} == codes


def test_stem_of_a_name_with_suffixes() -> None:
    assert [stem_of(name) for name in ("energy_import_t1", "pm2_5", "speed_LOUD", "x")] == [
        "energy_import",
        "pm2_5",
        None,
        None,
    ]


def test_pint_is_imported_only_when_something_is_converted() -> None:
    code = (
        "import sys; from pulso.units import convert; "
        "convert('power', 1.0, 'watts'); assert 'pint' not in sys.modules; "
        "convert('power', 1.0, 'kW'); assert 'pint' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def reference_row(observed_property: str) -> str:
    own = CANONICAL_UNITS[observed_property]
    others = [unit for unit in admitted_units(observed_property) if unit not in own]
    return f"| `{observed_property}` | {', '.join(f'`{u}`' for u in own)} | {', '.join(f'`{u}`' for u in others)} |"


def test_the_reference_lists_what_is_admitted() -> None:
    rows = [reference_row(each) for each in CANONICAL_UNITS]
    documented = [line for line in REFERENCE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert documented == rows
