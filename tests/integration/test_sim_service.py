"""The simulator as a process, with a real broker."""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from pulso.settings import MqttSettings
from sensors_sim.ask import list_incidents, request_incident
from sensors_sim.publish import Publisher
from sensors_sim.truth import read_incidents, read_truth
from tests.support.servers import MosquittoBroker
from tests.support.waiting import eventually

WITHIN = timedelta(seconds=15)


class City:
    """What a broker hears of the simulator: observation messages by topic, and retained descriptions."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.descriptions: dict[str, bytes] = {}

    def hear(self, topic: str, payload: bytes) -> None:
        if topic.endswith("/about"):
            self.descriptions[topic] = payload
        else:
            self.messages.append((topic, payload))

    def observations(self) -> Counter[tuple[str, str, str, str]]:
        """(thing, property, phenomenon time, value as text), and how often each arrived."""
        heard: Counter[tuple[str, str, str, str]] = Counter()
        for topic, payload in self.messages:
            document = json.loads(payload, parse_float=str, parse_int=str)
            for name, value in document["observations"].items():
                heard[topic.split("/")[3], name, document["phenomenon_time"], value] += 1
        return heard


@asynccontextmanager
async def listening(broker: MosquittoBroker) -> AsyncIterator[City]:
    city = City()
    settings = MqttSettings(port=broker.port)
    async with Publisher(settings, "listener", subscriptions={"pulso/v1/#": city.hear}) as listener:
        await listener.wait_connected(WITHIN)
        yield city


async def start(broker: MosquittoBroker, *options: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "sensors_sim", "--port", str(broker.port), *options)
    return await asyncio.create_subprocess_exec(*command)


def sent_according_to(truth: Path) -> Counter[tuple[str, str, str, str]]:
    rows = read_truth(truth)
    told: Counter[tuple[str, str, str, str]] = Counter()
    for row in rows:
        if row.times_published:
            told[row.thing, row.observed_property, row.sent_time, row.sent_value] += row.times_published
    return told


async def test_truth_equals_what_the_broker_received_with_every_fault_there_is(broker: MosquittoBroker, tmp_path: Path):
    async with listening(broker) as city:
        process = await start(broker, "--faults", "heavy", "--truth", str(tmp_path))
        await eventually(lambda: len(city.messages) > 6500, within=30)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        told = sent_according_to(tmp_path)
        await eventually(lambda: city.observations() == told, within=20, what="all that was sent has arrived")
    assert len(city.descriptions) == 432
    faults = {fault for row in read_truth(tmp_path) for fault in row.fault.split("+")}
    assert faults >= {"dropout", "late", "stuck", "duplicate", "spike", "skew"}


async def test_load_is_shared_by_processes_and_no_key_comes_twice(broker: MosquittoBroker, tmp_path: Path):
    async with listening(broker) as city:
        options = ("--rate", "1500", "--publishers", "2", "--duration", "2", "--faults", "none")
        process = await start(broker, *options, "--truth", str(tmp_path))
        assert await asyncio.wait_for(process.wait(), 40) == 0
        told = sent_according_to(tmp_path)
        await eventually(lambda: city.observations() == told, within=20)
    assert len(city.messages) == pytest.approx(3000, rel=0.25)
    assert max(told.values()) == 1


async def test_a_count_ends_the_run(broker: MosquittoBroker, tmp_path: Path):
    async with listening(broker) as city:
        process = await start(broker, "--rate", "2000", "--count", "777", "--faults", "none")
        assert await asyncio.wait_for(process.wait(), 30) == 0
        await eventually(lambda: len(city.messages) >= 777)
    assert len(city.messages) == 777


async def test_two_runs_of_the_same_seed_send_the_same_bytes_for_the_same_instants(broker: MosquittoBroker):
    async with listening(broker) as city:
        for _ in range(2):
            process = await start(broker, "--duration", "0.1", "--faults", "none")
            assert await asyncio.wait_for(process.wait(), 30) == 0
        await eventually(lambda: len(city.messages) > 2 * 6000, within=20)
    by_instant: dict[tuple[str, str], set[bytes]] = {}
    for topic, payload in city.messages:
        by_instant.setdefault((topic, json.loads(payload)["phenomenon_time"]), set()).add(payload)
    assert all(len(payloads) == 1 for payloads in by_instant.values())
    assert len(by_instant) < 0.75 * len(city.messages)  # most instants were sent by both


async def test_an_incident_can_be_triggered_listed_and_is_written_down(broker: MosquittoBroker, tmp_path: Path):
    mqtt = MqttSettings(port=broker.port)
    process = await start(broker, "--no-history", "--truth", str(tmp_path))
    wish = {"kind": "congestion", "zone": "coyoacan", "minutes": 20, "severity": 0.8}
    await eventually(lambda: any(tmp_path.glob("*.csv.gz")), within=20)
    taken = await request_incident(mqtt, wish, WITHIN)
    assert (taken.zone_id, taken.duration, taken.severity) == ("coyoacan", timedelta(minutes=20), 0.8)
    assert await list_incidents(mqtt, WITHIN) == [taken]
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    assert read_incidents(tmp_path) == [taken]


async def test_a_triggered_incident_reaches_every_publishing_process(broker: MosquittoBroker, tmp_path: Path):
    """After an outage of the whole city no meter of either process reports a voltage."""
    mqtt = MqttSettings(port=broker.port)
    async with listening(broker) as city:
        options = ("--rate", "400", "--publishers", "2", "--faults", "none", "--truth", str(tmp_path))
        process = await start(broker, *options)
        await eventually(lambda: len(city.messages) > 100, within=20)
        taken = await request_incident(mqtt, {"kind": "outage", "zone": "cdmx", "severity": 1.0}, WITHIN)

        def dark() -> set[str]:
            return {t for t, p in city.messages if "/energy/" in t and json.loads(p)["observations"]["voltage"] == 0}

        await eventually(lambda: len(dark()) == 96, within=20)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    begin = f"{taken.start:%Y-%m-%dT%H:%M:%S.%f}"
    lit = [row for row in read_truth(tmp_path) if row.observed_property == "voltage" and row.true_value != "0.0"]
    assert all(row.sent_time.removesuffix("Z") < begin for row in lit)
