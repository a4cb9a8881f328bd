"""What an acknowledgement reaches, and what happens when the broker client's thread dies."""

import asyncio
from typing import Any

import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingest.inbox import Inbox
from ingest.message import RawMessage
from ingest.subscriber import Subscriber, _BatchClient
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
    client = Unconnected(CallbackAPIVersion.VERSION2)
    first = begin_connection(client)
    client.acknowledge([message(7, first)])
    assert queued(client) == [b"\x40\x02\x00\x07"]
    second = begin_connection(client)
    client.acknowledge([message(8, first)])
    assert queued(client) == []

    client.acknowledge([message(8, first), message(1, second), message(2, second)])
    assert queued(client) == [b"\x40\x02\x00\x01\x40\x02\x00\x02"]


def test_connections_of_two_clients_are_never_taken_for_each_other() -> None:
    clients = [Unconnected(CallbackAPIVersion.VERSION2) for _ in range(2)]
    assert begin_connection(clients[0]) != begin_connection(clients[1])


async def test_the_end_of_the_client_thread_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.subscriber._LOOK_AT_THREAD", 0.01)
    mqtt, settings = load(MqttSettings, IngestSettings, MqttSettings={"port": free_port()})
    subscriber = Subscriber(mqtt, settings, Inbox(asyncio.get_running_loop(), capacity=1, room=1, patience=0.1))
    try:
        watching = asyncio.create_task(subscriber.keep_speaking())
        await asyncio.sleep(0.05)
        assert not watching.done()
        subscriber._client.loop_stop()
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(watching, 5)
    finally:
        await subscriber.leave()
