"""What the broker sends arrives as it was sent, over plain and encrypted connections, whatever its size."""

import asyncio
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.inbox import Inbox
from ingest.message import RawMessage
from ingest.subscriber import Subscriber
from pulso.local.broker import find_mosquitto
from pulso.local.ports import LOOPBACK, free_port
from pulso.settings import IngestSettings, MqttSettings, load
from tests.support.servers import MosquittoBroker, scratch_directory
from tests.support.waiting import eventually

SIZES = [0, 1, 2, 100, 126, 127, 128, 129, 16_300, 16_383, 16_384, 65_500, 65_536, 65_537, 131_072, 300_000]
TYPES = [None, "application/json", "application/cbor; a=b", "text/plain; charset=utf-8", "ünïcode/type"]
Sent = tuple[str, bytes, str | None]


class Doubles:
    """A broker with a plain and an encrypted listener; `authority` is the certificate to trust."""

    def __init__(self, broker: MosquittoBroker, tls_port: int, authority: Path) -> None:
        self.broker = broker
        self.tls_port = tls_port
        self.authority = authority

    def settings(self, *, tls: bool) -> dict[str, object]:
        if not tls:
            return {"host": LOOPBACK, "port": self.broker.port}
        return {"host": LOOPBACK, "port": self.tls_port, "tls": True, "ca_file": self.authority}


@pytest.fixture(scope="module")
def doubles() -> Iterator[Doubles]:
    program, openssl = find_mosquitto(), shutil.which("openssl")
    if program is None or openssl is None:
        pytest.skip("no mosquitto, or no openssl to make a certificate with: run scripts/services.sh as root")
    home = scratch_directory("tls")
    certificate, key, port = home / "certificate.pem", home / "key.pem", free_port()
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=pulso test",
         "-addext", f"subjectAltName=IP:{LOOPBACK}", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o644)
    listener = {"listener": f"{port} {LOOPBACK}", "certfile": str(certificate), "keyfile": str(key)}
    broker = MosquittoBroker(program, home, listener)
    broker.start()
    yield Doubles(broker, port, certificate)
    broker.kill()
    shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def subscribed(
    connection: dict[str, object],
    topic: str,
    *,
    capacity: int = 100_000,
    patience: float = 5.0,
    retained_filters: Sequence[str] = (),
) -> AsyncIterator[tuple[Subscriber, Inbox]]:
    """A subscriber to everything below `topic`, and the inbox it fills."""
    options = {"topic_filters": f"{topic}/#", "share_group": "test", "client_id": topic.replace("/", "-")}
    mqtt, settings = load(MqttSettings, IngestSettings, MqttSettings=connection, IngestSettings=options)
    inbox = Inbox(
        asyncio.get_running_loop(), capacity=capacity, room=256 << 20, patience=patience, arrived=lambda _: None
    )
    subscriber = Subscriber(mqtt, settings, inbox, retained_filters=retained_filters)
    try:
        await eventually(lambda: subscriber.subscribed)
        yield subscriber, inbox
    finally:
        await subscriber.leave()


async def take(inbox: Inbox, enough: Callable[[list[RawMessage]], bool]) -> list[RawMessage]:
    """What arrives until it is `enough`."""
    taken: list[RawMessage] = []

    def is_enough() -> bool:
        taken.extend(inbox._take(1000, 1 << 40))
        return enough(taken)

    await eventually(is_enough, within=30)
    return taken


def publish(port: int, messages: list[tuple[Sent, int]]) -> None:
    """Publish with MQTT 5; each message with its QoS."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.max_queued_messages_set(0)
    client.connect(LOOPBACK, port)
    client.loop_start()
    for (topic, payload, content_type), qos in messages:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if content_type is not None:
            properties.ContentType = content_type
            properties.UserProperty = [("a", "b")]
        told = client.publish(topic, payload, qos, properties=properties)
        told.wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


def mixed(topic: str, count: int, seed: int) -> list[tuple[Sent, int]]:
    chance = random.Random(seed)
    return [
        (
            (
                f"{topic}/{number}/é",
                chance.randbytes(chance.choice(SIZES) + chance.randint(0, 3)),
                chance.choice(TYPES),
            ),
            chance.randint(0, 1),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "encrypted"])
async def test_every_message_arrives_as_it_was_sent(doubles: Doubles, topic_prefix: str, tls: bool) -> None:
    sent = mixed(topic_prefix, 400, seed=5)
    async with subscribed(doubles.settings(tls=tls), topic_prefix) as (subscriber, inbox):
        await asyncio.to_thread(publish, doubles.broker.port, sent)
        taken = await take(inbox, lambda taken: len(taken) >= len(sent))
        subscriber.acknowledge(taken)
        await asyncio.sleep(0.2)
    assert Counter((each.topic, each.payload, each.content_type) for each in taken) == Counter(each for each, _ in sent)
    assert {each.topic: each.qos for each in taken} == {topic: qos for (topic, _, _), qos in sent}
    assert all(before.received_at < after.received_at for before, after in pairwise(taken))
    async with subscribed(doubles.settings(tls=tls), topic_prefix) as (_, inbox):
        await asyncio.sleep(0.5)
        assert len(inbox) == 0, "every one was acknowledged"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "encrypted"])
async def test_what_finds_no_room_is_given_back_and_comes_again(doubles: Doubles, topic_prefix: str, tls: bool) -> None:
    """Small packets, many to a buffer: the connection is broken in the midst of one, again and again."""
    sent = [((f"{topic_prefix}/{number}", b"%d" % number, None), 1) for number in range(500)]
    async with subscribed(doubles.settings(tls=tls), topic_prefix, capacity=150, patience=0.05) as (subscriber, inbox):
        connections: set[int] = set()
        seen: dict[str, bytes] = {}
        publishing = asyncio.create_task(asyncio.to_thread(publish, doubles.broker.port, sent))

        def take_some() -> bool:
            taken = inbox._take(100, 1 << 40)
            subscriber.acknowledge(taken)
            connections.update(each.connection for each in taken)
            seen.update((each.topic, each.payload) for each in taken)
            return len(seen) == len(sent)

        await asyncio.sleep(1.0)  # more than 150 are waiting by now
        await eventually(take_some, within=60)
        await publishing
    assert seen == {topic: payload for (topic, payload, _), _ in sent}
    assert len(connections) > 1


async def test_a_broker_that_restarts_sends_again_what_was_not_acknowledged(
    doubles: Doubles, topic_prefix: str
) -> None:
    sent = [((f"{topic_prefix}/{number}", b"%d" % number, None), 1) for number in range(200)]
    async with subscribed(doubles.settings(tls=True), topic_prefix) as (subscriber, inbox):
        await asyncio.to_thread(publish, doubles.broker.port, sent)
        first = await take(inbox, lambda taken: len(taken) == 200)
        subscriber.acknowledge(first[:80])
        await asyncio.sleep(0.3)
        doubles.broker.restart()
        again = await take(inbox, lambda taken: len(taken) >= 120)
        subscriber.acknowledge(first[80:])  # too late, of another connection
        subscriber.acknowledge(again)
        assert {each.topic for each in again} == {each.topic for each in first[80:]}
        assert all(each.redelivered for each in again)
        assert again[0].received_at > first[-1].received_at
        assert again[0].connection != first[0].connection


async def test_what_comes_twice_is_told_apart_and_what_was_kept_comes(
    doubles: Doubles, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shared subscription with a plain one beside it, as on every broker that does not forget the shared one."""
    monkeypatch.setattr("ingest.subscriber._MOSQUITTO", re.compile(rb"another broker"))
    about, other = f"{topic_prefix}/det-1/about", f"{topic_prefix}/det-1/speed"
    kept = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    kept.connect(LOOPBACK, doubles.broker.port)
    kept.loop_start()
    kept.publish(about, b"before", 1, retain=True).wait_for_publish(10)
    async with subscribed(doubles.settings(tls=False), topic_prefix, retained_filters=["+/+/+/about"]) as (_, inbox):
        first = await take(inbox, bool)
        await asyncio.sleep(0.3)  # Mosquitto 2.0.11 sends what it kept for the shared subscription as well
        first += inbox._take(10, 1 << 40)
        assert {(each.payload, each.retained) for each in first} == {(b"before", True)}
        for topic, payload in ((about, b"now"), (about, b"x" * 100_000), (other, b"last")):
            kept.publish(topic, payload, 1, retain=True).wait_for_publish(10)
        taken = await take(inbox, lambda taken: len(taken) >= 5)
        await asyncio.sleep(0.2)
        assert len(inbox) == 0
    kept.disconnect()
    kept.loop_stop()
    told = Counter((each.topic, len(each.payload), each.retained) for each in taken)
    assert told == {
        (about, 3, False): 1,
        (about, 3, True): 1,
        (about, 100_000, False): 1,
        (about, 100_000, True): 1,
        (other, 4, False): 1,
    }
