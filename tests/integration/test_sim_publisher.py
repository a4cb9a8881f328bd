"""The publisher against real brokers, and against one that refuses it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from pulso.errors import PublishError
from pulso.local.broker import amqtt
from pulso.local.ports import free_port, is_free
from pulso.settings import MqttSettings
from sensors_sim.publish import Handler, Publisher
from tests.support.servers import MosquittoBroker
from tests.support.waiting import eventually

SOON = timedelta(seconds=20)


class Inbox:
    """Messages of a topic filter, as they arrive."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    def __call__(self, topic: str, payload: bytes) -> None:
        self.messages.append((topic, payload))


@asynccontextmanager
async def connected(port: int, name: str, **more: Handler) -> AsyncIterator[Publisher]:
    subscriptions = {topic_filter.replace("_", "/"): handler for topic_filter, handler in more.items()}
    async with Publisher(MqttSettings(port=port), name, in_flight=50, subscriptions=subscriptions) as publisher:
        await publisher.wait_connected(SOON)
        yield publisher


async def test_everything_published_is_acknowledged_and_arrives_in_order(broker: MosquittoBroker):
    inbox = Inbox()
    async with connected(broker.port, "in", a=inbox), connected(broker.port, "out") as publisher:
        for number in range(2000):
            await publisher.publish("a", b"%d" % number)
        assert await publisher.drain(SOON)
        assert (publisher.acknowledged, publisher.outstanding) == (2000, 0)
        await eventually(lambda: len(inbox.messages) == 2000)
        assert [int(payload) for _, payload in inbox.messages] == list(range(2000))


async def test_no_more_is_in_flight_than_allowed(broker: MosquittoBroker):
    async with connected(broker.port, "out") as publisher:
        broker.pause()
        async with asyncio.TaskGroup() as group:
            publishing = [group.create_task(publisher.publish("a", b"x")) for _ in range(80)]
            await eventually(lambda: sum(task.done() for task in publishing) == 50)
            await asyncio.sleep(0)
            assert publisher.outstanding == 50
            broker.resume()
        assert await publisher.drain(SOON)


async def test_a_broker_that_goes_and_comes_back_loses_nothing(broker: MosquittoBroker):
    async with connected(broker.port, "out") as publisher:

        async def publish_all() -> None:
            for number in range(300):
                await publisher.publish(f"kept/{number}", b"%d" % number, retain=True)
                if number == 100:
                    broker.stop()
                await asyncio.sleep(0)

        publishing = asyncio.create_task(publish_all())
        await eventually(lambda: not publisher.connected)
        broker.start()
        await asyncio.wait_for(publishing, 30)
        assert await publisher.drain(SOON)
    inbox = Inbox()
    async with Publisher(MqttSettings(port=broker.port), "in", subscriptions={"kept/#": inbox}):
        await eventually(lambda: len({topic for topic, _ in inbox.messages}) == 300)


async def test_it_waits_for_a_broker_that_is_not_there_yet(broker: MosquittoBroker):
    broker.stop()
    async with Publisher(MqttSettings(port=broker.port), "early") as publisher:
        publishing = asyncio.create_task(publisher.publish("a", b"x"))
        await eventually(lambda: not publisher.connected)
        broker.start()
        await asyncio.wait_for(publishing, 20)
        assert await publisher.drain(SOON)


async def test_no_broker_within_the_time_given_is_an_error():
    async with Publisher(MqttSettings(port=free_port()), "lost") as publisher:
        with pytest.raises(PublishError, match="no answer from the broker"):
            await publisher.wait_connected(timedelta(seconds=0.5))


async def test_a_broker_that_speaks_only_mqtt_3_is_spoken_to_in_mqtt_3():
    port = free_port()
    inbox = Inbox()
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*amqtt(port).command, stdout=quiet, stderr=quiet)
    try:
        await eventually(lambda: not is_free(port), within=20, what="amqtt listens")
        async with connected(port, "in", a=inbox), connected(port, "out") as publisher:
            await publisher.publish("a", b"hello")
            assert await publisher.drain(SOON)
            await eventually(lambda: inbox.messages == [("a", b"hello")])
    finally:
        process.terminate()
        await process.wait()


async def test_a_refusal_for_good_ends_the_attempts():
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x03\x00\x87\x00")  # CONNACK of MQTT 5: not authorized
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with Publisher(MqttSettings(port=port), "stranger") as publisher:
            with pytest.raises(PublishError, match="Not authorized"):
                await publisher.publish("a", b"x")
