from datetime import timedelta

import numpy as np
import pytest

from pulso.city.pack import load_pack
from pulso.errors import ConfigurationError, UnknownZone
from pulso.model import Family
from sensors_sim.control import IncidentBook, list_payload, parse_list
from sensors_sim.incidents import IncidentKind, Incidents
from sensors_sim.scenario import Scenario, load_scenario
from sensors_sim.truth import read_incidents
from tests.support.simulated import MONDAY_NOON, city, in_district, incident, true_series

MINUTES = np.arange(-10, 60, 1.0)
DURING = (MINUTES >= 12) & (MINUTES < 20)
BEFORE = MINUTES < 0
AFTER = MINUTES >= 30


def change(family, prop, what, zone_id):
    """Relative to the same moments without the incident: mean change in the zone, and in the farthest district."""
    usual = true_series(family, MONDAY_NOON, MINUTES)[prop]
    struck = true_series(family, MONDAY_NOON, MINUTES, [what])[prop]
    zone, far = in_district(family, zone_id), in_district(family, "milpa_alta")
    return struck[zone] / usual[zone], struck[far] / usual[far]


def test_congestion_slows_its_zone_and_nothing_far_away():
    zone, far = change(Family.TRAFFIC, "speed", incident(IncidentKind.CONGESTION, "cuauhtemoc"), "cuauhtemoc")
    assert zone[:, DURING].mean() < 0.4
    assert (far == 1).all()
    assert (zone[:, BEFORE] == 1).all()
    assert (zone[:, AFTER] == 1).all()


def test_congestion_raises_occupancy():
    zone, _ = change(Family.TRAFFIC, "occupancy", incident(IncidentKind.CONGESTION, "cuauhtemoc"), "cuauhtemoc")
    assert zone[:, DURING].mean() > 1.5


def test_congestion_is_felt_next_door_but_less():
    what = incident(IncidentKind.CONGESTION, "iztacalco")
    zone, _ = change(Family.TRAFFIC, "speed", what, "iztacalco")
    next_door, _ = change(Family.TRAFFIC, "speed", what, "iztapalapa")
    assert zone[:, DURING].mean() < next_door[:, DURING].mean() < 0.99


def test_overflow_fills_as_many_bins_as_its_severity_says():
    what = incident(IncidentKind.OVERFLOW, "cdmx", severity=0.5)
    fill = true_series(Family.WASTE, MONDAY_NOON, MINUTES, [what])["fill_level"]
    full = (fill >= 95).mean(axis=0)
    assert 0.4 < full[DURING].mean() < 0.62
    assert full[BEFORE].max() < 0.05
    assert full[AFTER].max() < 0.05


def test_pollution_raises_particles_and_ozone():
    what = incident(IncidentKind.POLLUTION, "cdmx")
    assert change(Family.AIR, "pm2_5", what, "tlalpan")[0][:, DURING].mean() > 2.5
    assert change(Family.AIR, "o3", what, "tlalpan")[0][:, DURING].mean() > 1.5


def test_an_outage_stops_the_register_and_darkens_the_meter():
    what = incident(IncidentKind.OUTAGE, "tlahuac", minutes=20)
    values = true_series(Family.ENERGY, MONDAY_NOON, MINUTES, [what])
    zone = in_district(Family.ENERGY, "tlahuac")
    out = (MINUTES >= 0) & (MINUTES < 20)
    assert (values["power"][zone][:, out] == 0).all()
    assert (values["voltage"][zone][:, out] == 0).all()
    assert np.ptp(values["energy_import"][zone][:, out], axis=1) == pytest.approx(0)
    assert (values["voltage"][~zone] > 100).all()


def test_what_an_outage_kept_from_customers_is_made_up_afterwards():
    what = incident(IncidentKind.OUTAGE, "tlahuac", minutes=20)
    minutes = [0, 20, 30, 20 + 3 * 20, 120]
    zone = in_district(Family.ENERGY, "tlahuac")
    usual = true_series(Family.ENERGY, MONDAY_NOON, minutes)
    struck = true_series(Family.ENERGY, MONDAY_NOON, minutes, [what])
    missing = usual["energy_import"][zone] - struck["energy_import"][zone]
    assert (missing[:, 1] > missing[:, 2]).all()
    assert missing[:, 2].min() > 0
    assert missing[:, 3:] == pytest.approx(0, abs=1e-6)
    assert (struck["power"][zone][:, 2] > usual["power"][zone][:, 2]).all()


def test_an_outage_during_the_recovery_from_another_keeps_the_register_rising():
    first = incident(IncidentKind.OUTAGE, "tlahuac", minutes=20)
    second = incident(IncidentKind.OUTAGE, "tlahuac", minutes=10, start=MONDAY_NOON + timedelta(minutes=30))
    energy = true_series(Family.ENERGY, MONDAY_NOON, np.arange(-10, 150, 0.5), [first, second])["energy_import"]
    assert (np.diff(energy, axis=1) >= -1e-9).all()


def test_the_stronger_of_two_incidents_is_felt():
    weak, strong = (incident(IncidentKind.CONGESTION, "coyoacan", severity=s) for s in (0.3, 0.9))
    both = true_series(Family.TRAFFIC, MONDAY_NOON, [15], [weak, strong])["speed"]
    assert (both == true_series(Family.TRAFFIC, MONDAY_NOON, [15], [strong])["speed"]).all()


def test_an_unknown_zone_is_refused_by_name():
    with pytest.raises(UnknownZone, match="atlantis"):
        Incidents.of(city(), [incident(IncidentKind.OUTAGE, "atlantis")])


@pytest.mark.parametrize("name", ["demo", "rush"])
def test_shipped_scenarios_load_and_something_happens(name):
    scenario = load_scenario(name, load_pack("cdmx"))
    day = scenario.between(MONDAY_NOON, MONDAY_NOON, MONDAY_NOON + timedelta(days=1))
    assert {each.kind for each in day} == set(IncidentKind)


def test_repeated_incidents_do_not_depend_on_the_start():
    scenario = load_scenario("demo", load_pack("cdmx"))
    end = MONDAY_NOON + timedelta(hours=6)
    early, late = (scenario.between(MONDAY_NOON + timedelta(minutes=m), MONDAY_NOON, end) for m in (0, 77))
    assert early == late


def test_an_unknown_scenario_names_the_known_ones():
    with pytest.raises(ConfigurationError, match="demo"):
        load_scenario("nothing", load_pack("cdmx"))


def test_a_scenario_with_an_unknown_zone_is_refused(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[[incident]]\nkind = "outage"\nzone = "atlantis"\nlasts = "PT5M"\nseverity = 1\n')
    with pytest.raises(ConfigurationError, match="atlantis"):
        load_scenario(str(file), load_pack("cdmx"))


def test_a_request_starts_an_incident_no_earlier_than_what_is_already_made(tmp_path):
    book = IncidentBook(city(), Scenario(), MONDAY_NOON, tmp_path)
    made_until = MONDAY_NOON + timedelta(seconds=4)
    taken = book.request(b'{"kind": "congestion", "zone": "coyoacan", "minutes": 20, "severity": 0.8}', made_until)
    assert taken is not None
    assert (taken.start, taken.duration) == (made_until, timedelta(minutes=20))
    assert book.between(made_until, made_until + timedelta(minutes=1)).listed == (taken,)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"\xff\xfe",
        b'{"kind": "fog", "zone": "coyoacan"}',
        b'{"kind": "outage", "zone": "atlantis"}',
        b'{"kind": "outage", "zone": "coyoacan", "severity": 7}',
        b'{"kind": "outage", "zone": "coyoacan", "minutes": NaN}',
    ],
)
def test_a_request_that_makes_no_sense_is_left(payload):
    book = IncidentBook(city(), Scenario(), MONDAY_NOON)
    assert book.request(payload, MONDAY_NOON) is None
    assert book.current(MONDAY_NOON, timedelta(hours=1)) == []


def test_a_restarted_simulator_remembers_what_was_triggered(tmp_path):
    taken = IncidentBook(city(), Scenario(), MONDAY_NOON, tmp_path).request(
        b'{"kind": "outage", "zone": "tlahuac", "id": "abc"}', MONDAY_NOON
    )
    later = MONDAY_NOON + timedelta(minutes=5)
    book = IncidentBook(city(), Scenario(), later, tmp_path)
    assert book.between(MONDAY_NOON, later).listed == (taken,)
    assert read_incidents(tmp_path) == [taken]
    assert book.request(b'{"kind": "outage", "zone": "tlahuac", "id": "abc"}', later) is None


def test_scripted_incidents_are_written_down_once(tmp_path):
    book = IncidentBook(city(), load_scenario("rush", load_pack("cdmx")), MONDAY_NOON, tmp_path)
    for minute in range(5):
        current = book.current(MONDAY_NOON + timedelta(minutes=minute), timedelta(hours=1))
    assert len(current) == len(read_incidents(tmp_path)) == 4


def test_the_list_of_incidents_reads_back_as_it_was():
    listed = [incident(kind, "coyoacan") for kind in IncidentKind]
    read = parse_list(list_payload(listed))
    assert read == listed
    assert [each.incident_id for each in read] == [each.incident_id for each in listed]


def test_one_outage_per_district_is_no_more_work_than_can_be_done():
    """Each used to work out all before it anew: sixteen districts at once took hours."""
    everywhere = [incident(IncidentKind.OUTAGE, zone.zone_id, minutes=20) for zone in city().districts]
    values = true_series(Family.ENERGY, MONDAY_NOON, [10], everywhere)
    assert (values["power"] == 0).all()


def test_an_outage_is_remembered_as_long_as_a_later_one_found_it_not_made_up():
    first = incident(IncidentKind.OUTAGE, "tlahuac", minutes=120)
    second = incident(IncidentKind.OUTAGE, "tlahuac", minutes=120, start=MONDAY_NOON + timedelta(hours=5))
    moment = MONDAY_NOON + timedelta(hours=9)
    assert first.forgotten < moment
    felt = Incidents.of(city(), [first, second]).between(moment, moment + timedelta(minutes=1))
    assert felt.listed == (first, second)
    assert not felt.between(second.forgotten, second.forgotten + timedelta(minutes=1)).listed
