"""From instants to payloads: encoding, faults, ground truth."""

import gzip
import json
import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ingest.interpret import Interpreter
from ingest.mapping import DeviceBook
from ingest.message import RawMessage, Reported
from pulso.errors import ConfigurationError
from pulso.model import Family, to_micros
from pulso.units import canonical_units
from sensors_sim.encode import DECIMALS, description, description_topic, number_texts, time_texts
from sensors_sim.faults import FaultRates, load_rates
from sensors_sim.generate import Generator
from sensors_sim.incidents import Incidents
from sensors_sim.truth import TruthWriter, read_truth
from tests.support.simulated import MONDAY_NOON, city, fleet_of

START = to_micros(MONDAY_NOON)
MINUTE = 60_000_000


def made(minutes=5, **rates):
    return Generator(city(), FaultRates(**rates)).messages(START, START + minutes * MINUTE, Incidents.of(city()))


def test_a_message_is_one_json_object_with_its_time_and_all_properties():
    message = next(m for m in made() if m.thing == "cdmx-air-coyoacan-02")
    document = json.loads(message.payload)
    assert message.topic == "pulso/v1/air/cdmx-air-coyoacan-02"
    assert document.keys() == {"phenomenon_time", "observations"}
    assert document["phenomenon_time"] == message.phenomenon_time
    assert document["observations"].keys() == {"pm2_5", "pm10", "o3", "no2", "temperature", "humidity"}


def test_every_property_has_a_canonical_unit_and_a_resolution():
    sent = {name for message in made() for name in message.properties}
    assert sent == set(DECIMALS)
    assert all(canonical_units(name) for name in sent)


def test_the_number_of_messages_is_what_the_intervals_say():
    per_family = Counter(message.topic.split("/")[2] for message in made(minutes=5))
    assert per_family == {"traffic": 160 * 5, "waste": 128, "energy": 96 * 5, "air": 48 * 5}


def test_a_description_says_where_what_and_how_often():
    thing = fleet_of(Family.TRAFFIC).things[0]
    told = json.loads(description(thing))
    assert description_topic(thing) == f"pulso/v1/traffic/{thing.external_id}/about"
    assert told["zone"] == thing.zone_id
    assert told["expected_interval"] == 60
    assert told["properties"].keys() >= {"length_m", "free_flow_kmh"}


def test_numbers_have_no_exponent_and_no_negative_zero():
    assert number_texts("speed", np.array([-0.01, 1e-9, 123456.25])) == ["0.0", "0.0", "123456.2"]
    assert number_texts("vehicle_count", np.array([3.0])) == ["3"]


def test_times_have_a_fraction_only_where_there_is_one():
    assert time_texts(np.array([START, START + 1])) == ["2026-11-23T18:00:00Z", "2026-11-23T18:00:00.000001Z"]


def test_without_faults_what_is_sent_is_what_is_true():
    for message in made():
        assert (message.copies, message.fault) == (1, "")
        assert message.sent_values == message.true_values
        assert message.sent_time == message.phenomenon_time


def test_a_drop_out_silences_a_thing_for_a_while():
    dropped = [m for m in made(minutes=30, dropout=0.3) if m.fault == "dropout"]
    assert 0.03 < len(dropped) / len(made(minutes=30)) < 0.2
    assert all(m.copies == 0 for m in dropped)
    spells = Counter(m.thing for m in dropped)
    assert max(spells.values()) >= 5


def test_a_late_burst_leaves_at_one_moment_after_its_instants():
    late = [m for m in made(minutes=30, late=0.3) if m.fault == "late"]
    assert late
    for thing in {m.thing for m in late}:
        released = {m.release for m in late if m.thing == thing}
        newest = max(m.phenomenon_time for m in late if m.thing == thing)
        assert len(released) == 1
        assert time_texts(np.array(list(released)))[0] >= newest


def test_a_stuck_thing_repeats_its_values_while_the_truth_goes_on():
    stuck = [m for m in made(minutes=30, stuck=0.3) if m.fault == "stuck" and "/traffic/" in m.topic]
    long = Counter(m.thing for m in stuck).most_common(1)[0][0]
    spell = [m for m in stuck if m.thing == long]
    assert len({m.sent_values for m in spell}) == 1
    assert len({m.true_values for m in spell}) == len(spell) > 3


def test_duplicates_are_published_twice():
    share = np.mean([m.copies == 2 for m in made(minutes=30, duplicate=0.25)])
    assert share == pytest.approx(0.25, abs=0.02)


def test_a_spike_changes_one_value_only():
    spiked = [m for m in made(minutes=30, spike=0.05) if m.fault == "spike"]
    assert spiked
    for message in spiked:
        values = zip(message.properties, message.true_values, message.sent_values, strict=True)
        differing = [name for name, true, sent in values if true != sent]
        assert len(differing) <= 1
        assert "energy_import" not in differing


def test_a_wrong_clock_is_wrong_by_the_same_for_all_messages_of_a_thing():
    messages = made(minutes=10, skew=0.2, skew_seconds=90)
    errors: dict[str, set[float]] = {}
    for message in messages:
        sent, true = (np.datetime64(t.removesuffix("Z")) for t in (message.sent_time, message.phenomenon_time))
        errors.setdefault(message.thing, set()).add(float((sent - true) / np.timedelta64(1, "s")))
    assert all(len(each) == 1 for each in errors.values())
    wrong = [next(iter(each)) for each in errors.values() if each != {0.0}]
    assert 0.12 < len(wrong) / len(errors) < 0.28
    assert max(map(abs, wrong)) <= 90


@pytest.mark.parametrize("name", ["none", "default", "heavy"])
def test_shipped_fault_rates_load(name):
    rates = load_rates(name)
    assert (rates == FaultRates()) == (name == "none")


def test_unknown_fault_rates_name_the_known_ones():
    with pytest.raises(ConfigurationError, match="default, heavy, none"):
        load_rates("terrible")


def test_truth_reads_back_every_observation_as_it_was_sent(tmp_path):
    messages = made(minutes=5, dropout=0.2, duplicate=0.1, spike=0.1)
    writer = TruthWriter(tmp_path)
    for message in messages:
        writer.record(message, message.copies, MONDAY_NOON)
    writer.close()
    assert list(read_truth(tmp_path)) == [row for message in messages for row in message.truth()]


def test_truth_starts_a_new_file_every_hour_and_deletes_old_ones(tmp_path):
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    old = tmp_path / "observations-old.csv.gz"
    old.touch()
    os.utime(old, times=(0, 0))
    writer = TruthWriter(tmp_path, keep=timedelta(hours=12))
    message = made(minutes=1)[0]
    for hour in range(3):
        writer.record(message, 1, now + timedelta(hours=hour))
        writer.record(message, 1, now + timedelta(hours=hour, minutes=59))
    writer.close()
    names = [path.name.split("-")[1] for path in sorted(tmp_path.iterdir())]
    assert names == [f"{now + timedelta(hours=hour):%Y%m%dT%H%M%S}" for hour in range(3)]


def test_truth_of_a_killed_process_is_read_as_far_as_it_goes(tmp_path):
    writer = TruthWriter(tmp_path)
    messages = made(minutes=5)
    for message in messages:
        writer.record(message, 1, MONDAY_NOON)
    writer.close()
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:-2000])
    rows = list(read_truth(tmp_path))
    assert 0 < len(rows) < sum(len(message.properties) for message in messages)
    with gzip.open(file, "rt") as text:
        assert text.readline().startswith("thing,observed_property,phenomenon_time")


def read(topic: str, payload: bytes) -> Sequence[Reported]:
    """What ingest makes of a message."""
    interpreter = Interpreter(DeviceBook.empty(), ZoneInfo("America/Mexico_City"))
    return interpreter.interpret(RawMessage(topic, payload, START)).things


def test_ingest_understands_every_message_as_it_was_meant():
    """The encoder and the decoders share no code; here they meet."""
    for message in made(minutes=5, skew=0.2):
        (decoded,) = read(message.topic, message.payload)
        assert decoded.external_id == message.thing
        sent = dict(zip(message.properties, map(float, message.sent_values), strict=True))
        assert {each.observed_property: each.result for each in decoded.observations} == sent
        moment = to_micros(datetime.fromisoformat(message.sent_time))
        assert {each.phenomenon_time for each in decoded.observations} == {moment}


def test_ingest_understands_every_description():
    for fleet in city().fleets:
        for thing in fleet.things:
            topic = description_topic(thing)
            (decoded,) = read(topic, description(thing))
            assert decoded.description == thing
