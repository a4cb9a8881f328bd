"""The device library: each profile reads what its kind of device sends, and no two claim the same message."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ingest.mapping import DeviceBook, Profile, load_devices
from ingest.message import Context, Reported
from ingest.privacy import is_personal
from pulso.errors import DecodeError, RejectReason
from pulso.units import canonical_units

UTC = ZoneInfo("UTC")


@pytest.fixture(scope="module")
def library() -> DeviceBook:
    return load_devices([])


def seen(library: DeviceBook, fields: Mapping[str, Any], *model: str) -> tuple[str | None, dict[str, float]]:
    thing = Reported("device", fields=fields, model=model)
    profile = library.profile(thing, None)
    if profile is None:
        return None, {}
    return profile.name, {each.observed_property: each.result for each in profile.read(thing, Context(UTC))}


SENT: list[tuple[str, dict[str, Any], dict[str, float]]] = [
    (
        "milesight_distance",
        {"battery": 88, "distance": 1520, "position": "normal", "temperature": 21.5},
        {"distance": 1520, "temperature": 21.5, "battery": 88},
    ),
    ("milesight_distance", {"battery": 88, "distance": 65535, "position": "tilt"}, {"battery": 88}),
    (
        "milesight_currents",
        {"current_chn1": 25.5, "current_chn1_max": 30, "current_chn1_min": 20, "current_chn2": 3},
        {"current_ch1": 25.5, "current_ch2": 3},
    ),
    (
        "milesight_climate",
        {"battery": 70, "temperature": 21.0, "humidity": 40.5, "co2": 610, "light_level": 1, "pm2_5": 7, "tvoc": 1},
        {"battery": 70, "temperature": 21.0, "humidity": 40.5, "co2": 610, "pm2_5": 7},
    ),
    (
        "milesight_line_counter",
        {"line_1": {"period_in": 3, "period_out": 4, "total_in": 30}, "line_2": {"period_in": 1}},
        {
            "people_count_line1_in": 3,
            "people_count_line1_out": 4,
            "people_count_line1_total_in": 30,
            "people_count_line2_in": 1,
        },
    ),
    (
        "milesight_passage_counter",
        {"battery": 9, "period_in": 5, "period_out": 6},
        {"battery": 9, "people_count_in": 5, "people_count_out": 6},
    ),
    (
        "sensecap_s210x",
        {
            "err": 0,
            "valid": True,
            "messages": [
                {"type": "report_telemetry", "measurementId": 4100, "measurementValue": 512},
                [
                    {"measurementId": "4097", "measurementValue": 18.5},
                    {"measurementId": "4099", "measurementValue": 80},
                ],
            ],
        },
        {"co2": 512, "temperature": 18.5},
    ),
    ("milesight_current", {"current": 4.2, "total_current": 118.5}, {"current": 4.2}),
    ("milesight_region_counter", {"people_counter_all": 0, "region_count": 4}, {"people_count": 0}),
    (
        "milesight_socket",
        {"voltage": 229.5, "power": 40, "factor": 95, "power_sum": 1500, "current": 180, "state": "open"},
        {"voltage": 229.5, "power": 40, "power_factor": 0.95, "energy_import": 1.5, "current": 0.18},
    ),
    (
        "dragino_distance",
        {"Bat": 3.5, "Distance": "1250 mm", "Interrupt_flag": 0, "TempC_DS18B20": "0.00"},
        {"distance": 1250, "battery_voltage": 3.5},
    ),
    ("dragino_distance", {"Bat": 3.5, "Distance": "No Sensor", "Interrupt_flag": 0}, {"battery_voltage": 3.5}),
    (
        "dragino_climate",
        {"BatV": 3.0, "TempC_SHT": 19.5, "Hum_SHT": 61.5, "TempC_DS": 327.67},
        {"battery_voltage": 3.0, "temperature": 19.5, "humidity": 61.5},
    ),
    (
        "dragino_climate",
        {"TempC_SHT": 19.5, "Hum_SHT": 61.5, "TempC_TMP117": 4.25},
        {"temperature": 19.5, "humidity": 61.5, "temperature_probe": 4.25},
    ),
    (
        "dragino_air_quality",
        {"Bat_V": 3.2, "CO2_ppm": 430, "TVOC_ppb": 3, "TempC_SHT": 22.0, "Hum_SHT": 33.0},
        {"battery_voltage": 3.2, "co2": 430, "tvoc": 3, "temperature": 22.0, "humidity": 33.0},
    ),
    (
        "netvox_three_phase_current",
        {
            "Device": "R718N3",
            "Volt": "3.1(low battery)",
            "Current1": 1500,
            "Current2": 0,
            "Current3": 20,
            "Multiplier1": 1,
        },
        {"current_l1": 1.5, "current_l2": 0, "current_l3": 0.02, "battery_voltage": 3.1},
    ),
    (
        "netvox_three_phase_current",
        {"Device": "R718N3", "Volt": 3.6, "Current1": 15, "Current2": 15, "Current3": 15, "Multiplier1": 10},
        {"battery_voltage": 3.6},
    ),
    (
        "netvox_outdoor",
        {"Device": "RA07Series", "Volt": 12, "PM1_0": 4, "PM2_5": 6, "PM10": "NoSensor"},
        {"pm1": 4, "pm2_5": 6},
    ),
    (
        "netvox_single_phase_current",
        {"Device": "R718N1", "Volt": 3.6, "Current": 250, "Multiplier": 1},
        {"current": 0.25, "battery_voltage": 3.6},
    ),
    (
        "netvox_plug",
        {"Device": "R809A", "Vol": 231, "Current": 120, "Power": 27},
        {"voltage": 231, "current": 0.12, "power": 27},
    ),
    ("netvox_plug", {"Device": "R809A", "OnOff": "ON", "Energy": 3200}, {"energy_import": 3.2}),
    (
        "netvox_level",
        {"Device": "R718X", "Volt": 3.5, "Status": "ON", "Distance": 640, "FillLevel": 55, "Temp": 17.5},
        {"distance": 640, "fill_level": 55, "temperature": 17.5, "battery_voltage": 3.5},
    ),
    (
        "imbuildings_people_counter",
        {"counter_a": 2, "counter_b": 3, "total_counter_a": 20, "total_counter_b": 30, "battery_voltage": 3.0},
        {
            "people_count_a": 2,
            "people_count_b": 3,
            "people_count_total_a": 20,
            "people_count_total_b": 30,
            "battery_voltage": 3.0,
        },
    ),
    (
        "pepperl_fuchs_wilsen",
        {"battery_vol": 3.5, "fillinglvl": 64, "proxx": 71, "temp": 18.2},
        {"battery_voltage": 3.5, "fill_level": 64, "distance": 710, "temperature": 18.2},
    ),
    (
        "pepperl_fuchs_wilsen_distance",
        {"battery_vol": 3.6, "proxx_mm": 905, "amplitude": 200, "temp": 17.0},
        {"battery_voltage": 3.6, "distance": 905, "temperature": 17.0},
    ),
    (
        "teneo_fill_rate",
        {"sensorType": "fillrate", "settingsAllowed": False, "valid": True, "distance": 31, "battery": 3.3},
        {"distance": 310, "battery_voltage": 3.3},
    ),
    ("teneo_fill_rate", {"sensorType": "fillrate", "settingsAllowed": False, "valid": False, "distance": 31}, {}),
    (
        "emu_professional_ii",
        {
            "timeStamp": 1777878000,
            "medium": {"desc": "Electricity"},
            "Active Energy Import T1": {"unit": "Wh", "value": 2500},
            "Active Power L123": {"unit": "W", "value": 410},
        },
        {"energy_import_t1": 2.5, "power": 410},
    ),
    (
        "mcci_model_4811",
        {"energyUsed": 1200, "energySourced": 0, "mainDemand": 35.5, "vBat": 3.25},
        {"energy_import": 1.2, "energy_export": 0, "power": 35.5, "battery_voltage": 3.25},
    ),
    (
        "parametric_tcr",
        {"ltrCounter": 4, "ltrSpeed": 38, "rtlCounter": 0, "rtlSpeed": 0},
        {"vehicle_count_ltr": 4, "speed_ltr": 38, "vehicle_count_rtl": 0, "speed_rtl": 0},
    ),
    (
        "parametric_pcr2",
        {"LTR": 7, "RTL": 9, "TEMP": 24},
        {"people_count_ltr": 7, "people_count_rtl": 9, "device_temperature": 24},
    ),
    ("bosch_tps110", {"type": "parking status", "occupied": False}, {"parking_occupied": 0}),
    ("esp32_paxcounter", {"wifi": 4, "ble": 5, "pax": 9}, {"people_count": 9}),
    (
        "elsys",
        {"temperature": 22.1, "humidity": 31, "light": 10, "motion": 0, "co2": 505, "vdd": 3640, "soundAvg": 41},
        {"temperature": 22.1, "humidity": 31, "co2": 505, "battery_voltage": 3.64, "noise": 41},
    ),
    ("elsys_distance", {"distance": 1204, "vdd": 3600}, {"distance": 1204, "battery_voltage": 3.6}),
]


@pytest.mark.parametrize(("name", "fields", "expected"), SENT)
def test_a_profile_recognises_its_device_and_reads_it(
    library: DeviceBook, name: str, fields: dict[str, Any], expected: dict[str, float]
) -> None:
    assert seen(library, fields) == (name, pytest.approx(expected))


def test_every_profile_of_the_library_is_tried(library: DeviceBook) -> None:
    assert {profile.name for profile in library.profiles} == {name for name, _, _ in SENT}


def test_a_model_decides_where_the_signature_does_not(library: DeviceBook) -> None:
    assert seen(library, {"distance": 900}, "Milesight EM400-TLD") == ("milesight_distance", {"distance": 900})
    assert seen(library, {"distance": 900}) == (None, {})


def test_a_model_whose_fields_are_other_ones_is_left_to_the_vocabulary(library: DeviceBook) -> None:
    assert seen(library, {"celsius": 12}, "LHT65") == (None, {})


def test_no_two_profiles_bear_the_same_signature(library: DeviceBook) -> None:
    signed = [profile for profile in library.profiles if profile.table.match.fields]
    for one, other in combinations(signed, 2):
        same = set(one.table.match.fields) == set(other.table.match.fields)
        assert not same or (one.table.match.when and other.table.match.when), f"{one.name} and {other.name}"


def test_every_profile_says_where_its_facts_come_from(library: DeviceBook) -> None:
    for profile in library.profiles:
        assert profile.table.title, profile.name
        assert profile.table.source.startswith("https://"), profile.name
        assert profile.table.match.models or profile.table.match.fields, profile.name


def test_the_library_observes_what_design_names(library: DeviceBook) -> None:
    for profile in library.profiles:
        for observation in profile.table.observation:
            source = observation.property
            names = [source.fixed] if source.fixed else [each.property for each in source.values.values()]
            assert names
            for name in names:
                assert canonical_units(name), f"{profile.name}: {name}"
                assert not is_personal(name)


def test_a_profile_that_finds_nothing_says_what_it_looked_for(library: DeviceBook) -> None:
    profile = by_name(library, "bosch_tps110")
    with pytest.raises(DecodeError, match=r"bosch_tps110.*occupied, temperature") as caught:
        profile.read(Reported("x", fields={"other": 1}), Context(UTC))
    assert caught.value.reason is RejectReason.UNMAPPED


def test_the_clock_of_a_device_is_used_where_the_profile_says_so(library: DeviceBook) -> None:
    fields = {"timeStamp": 1777878000, "Active Power L1": {"value": 1, "unit": "kW"}}
    thing = Reported("x", fields=fields, phenomenon_time=5)
    (read,) = by_name(library, "emu_professional_ii").read(thing, Context(UTC))
    assert (read.phenomenon_time, read.result) == (1_777_878_000_000_000, 1000.0)


def by_name(library: DeviceBook, name: str) -> Profile:
    return next(profile for profile in library.profiles if profile.name == name)
