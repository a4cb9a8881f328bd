"""What is subscribed, what an acknowledgement reaches, and what happens when the broker client's thread dies."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from ingest.decoders import matches
from ingest.inbox import Inbox
from ingest.message import RawMessage
from ingest.subscriber import Subscriber, _BatchClient, _widest, common, covers
from pulso.local.ports import free_port
from pulso.settings import IngestSettings, MqttSettings, load


class Unconnected(_BatchClient):
    """Begins connections that never come to be."""

    def _create_socket(self) -> Any:
        raise OSError


def begin_connection(client: _BatchClient) -> int:
    client.connect_async("127.0.0.1", 1)
    with pytest.raises(OSError):  # noqa: PT011 (the one above)
        client.reconnect()
    return client.connection


def message(mid: int, connection: int) -> RawMessage:
    return RawMessage("t", b"", 0, mid, 1, redelivered=False, connection=connection)


def queued(client: _BatchClient) -> list[bytes]:
    return [bytes(packet["packet"]) for packet in client._out_packet]


def test_an_acknowledgement_never_reaches_a_later_connection() -> None:
    """Connection 1 | received 7, 8 | acknowledged 7 | connection 2 begins, no CONNACK yet | acknowledged 8."""
    client = Unconnected(CallbackAPIVersion.VERSION2, take=lambda _: True)
    first = begin_connection(client)
    client.acknowledge([message(7, first)])
    assert queued(client) == [b"\x40\x02\x00\x07"]
    second = begin_connection(client)
    client.acknowledge([message(8, first)])
    assert queued(client) == []

    client.acknowledge([message(8, first), message(1, second), message(2, second)])
    assert queued(client) == [b"\x40\x02\x00\x01\x40\x02\x00\x02"]


def test_connections_of_two_clients_are_never_taken_for_each_other() -> None:
    clients = [Unconnected(CallbackAPIVersion.VERSION2, take=lambda _: True) for _ in range(2)]
    assert begin_connection(clients[0]) != begin_connection(clients[1])


async def test_the_end_of_the_client_thread_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.subscriber._LOOK_AT_THREAD", 0.01)
    mqtt, settings = load(MqttSettings, IngestSettings, MqttSettings={"port": free_port()})
    inbox = Inbox(asyncio.get_running_loop(), capacity=1, room=1, patience=0.1, arrived=lambda _: None)
    subscriber = Subscriber(mqtt, settings, inbox, retained_filters=())
    try:
        watching = asyncio.create_task(subscriber.keep_speaking())
        await asyncio.sleep(0.05)
        assert not watching.done()
        subscriber._client.loop_stop()
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(watching, 5)
    finally:
        await subscriber.leave()


# --- subscribing -----------------------------------------------------------------------------------------------------

LEVELS = st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4)
FILTERS = st.builds(lambda levels, rest: "/".join([*levels, *rest]), LEVELS, st.sampled_from([[], ["#"]])) | st.just(
    "#"
)
TOPICS = st.lists(st.sampled_from("abc"), min_size=1, max_size=5)


def fits(topic_filter: str, levels: list[str]) -> bool:
    return matches(tuple(topic_filter.split("/")), levels)


@given(FILTERS, FILTERS, TOPICS)
def test_filters_are_compared_by_the_topics_they_match(one: str, other: str, topic: list[str]) -> None:
    both = common(one, other)
    assert (both is not None and fits(both, topic)) == (fits(one, topic) and fits(other, topic))
    if covers(one, other) and fits(other, topic):
        assert fits(one, topic)


@given(st.lists(FILTERS, max_size=4), TOPICS)
def test_no_filter_that_another_one_covers_is_asked_for(filters: list[str], topic: list[str]) -> None:
    kept = _widest(filters)
    assert any(fits(each, topic) for each in kept) == any(fits(each, topic) for each in filters)
    assert not any(covers(one, other) for one in kept for other in kept if one != other)
    assert len(set(kept)) == len(kept)


class Requests:
    """A client that notes what it is asked to subscribe, and gives each request its number."""

    def __init__(self) -> None:
        self.subscribed: dict[int, list[str]] = {}
        self.identifiers: dict[int, int | None] = {}
        self.given_up: list[str] = []
        self._numbers = count(1)

    def subscribe(self, asked: str | list[tuple[str, object]], *, properties: Any = None) -> tuple[int, int]:
        number = next(self._numbers)
        self.identifiers[number] = getattr(properties, "SubscriptionIdentifier", [None])[0]
        self.subscribed[number] = [asked] if isinstance(asked, str) else [name for name, _ in asked]
        return 0, number

    def unsubscribe(self, filters: list[str]) -> None:
        self.given_up += filters

    def message_callback_add(self, *_: object) -> None:
        """Not looked at."""


@pytest.fixture
async def subscriber() -> AsyncIterator[Subscriber]:
    mqtt, settings = load(
        MqttSettings,
        IngestSettings,
        MqttSettings={"port": free_port()},
        IngestSettings={"topic_filters": "site/1/#,site/1/a,other/+"},
    )
    inbox = Inbox(asyncio.get_running_loop(), capacity=1, room=1, patience=0.1, arrived=lambda _: None)
    made = Subscriber(mqtt, settings, inbox, retained_filters=["site/+/$unit", "tasmota/discovery/#", "other/$x"])
    yield made
    await made.leave()


def connect(subscriber: Subscriber, client: Any, properties: object = None) -> None:
    success = ReasonCode(PacketTypes.CONNACK, "Success")
    subscriber._on_connect(client, None, SimpleNamespace(session_present=False), success, properties)  # type: ignore[arg-type]


def answer(subscriber: Subscriber, client: Any, number: int, *codes: int) -> None:
    reasons = [ReasonCode(PacketTypes.SUBACK, identifier=code) for code in codes]
    subscriber._on_subscribe(client, None, number, reasons, None)


SHARED = ["$share/pulso/site/1/#", "$share/pulso/other/+"]
PLAIN = ["site/1/#", "other/+"]


async def test_retained_messages_are_asked_for_within_the_filters(subscriber: Subscriber) -> None:
    client = Requests()
    connect(subscriber, client)
    assert client.subscribed == {1: SHARED, 2: ["site/1/$unit", "other/$x"], 3: ["$SYS/broker/version"]}
    assert client.identifiers == {1: None, 2: 1, 3: None}, "what comes twice is told apart"
    assert not subscriber.subscribed
    answer(subscriber, client, 2, 1, 0x87)
    answer(subscriber, client, 3, 0)
    assert not subscriber.subscribed, "only these tell of devices"
    answer(subscriber, client, 1, 1, 1)
    assert subscriber.subscribed


async def test_topics_that_the_broker_refuses_are_not_taken_for_subscribed(subscriber: Subscriber) -> None:
    client = Requests()
    connect(subscriber, client)
    answer(subscriber, client, 1, 1, 0x87)
    assert not subscriber.subscribed


async def test_a_broker_that_refuses_to_share_gets_the_plain_filters(subscriber: Subscriber) -> None:
    client = Requests()
    connect(subscriber, client)
    answer(subscriber, client, 1, 0x9E, 0x9E)
    assert client.subscribed[4] == PLAIN
    assert client.given_up == [*SHARED, "site/1/$unit", "other/$x"]
    answer(subscriber, client, 4, 1, 1)
    assert subscriber.subscribed


async def test_a_broker_that_knows_no_identifiers_is_given_none(subscriber: Subscriber) -> None:
    client = Requests()
    connect(subscriber, client, SimpleNamespace(SubscriptionIdentifierAvailable=0))
    assert client.identifiers == {1: None, 2: None, 3: None}


async def test_a_broker_that_offers_no_sharing_is_not_asked_for_it(subscriber: Subscriber) -> None:
    client = Requests()
    connect(subscriber, client, SimpleNamespace(SharedSubscriptionAvailable=0))
    assert client.subscribed == {1: PLAIN}
