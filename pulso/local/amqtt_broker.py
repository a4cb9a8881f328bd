"""`python -m pulso.local.amqtt_broker PORT`: the broker in Python, until SIGTERM."""

import asyncio
import logging
import sys
from asyncio import StreamReader, StreamWriter

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from pulso.lifecycle import stop_on_signals
from pulso.local.ports import LOOPBACK

_NEWEST_SPOKEN = 4  # protocol level of MQTT 3.1.1
_REFUSED = b"\x20\x02\x00\x01"  # CONNACK: unacceptable protocol version (MQTT 3.1.1, table 3.1)
_PATIENCE = 5.0


class Everybody(BaseAuthPlugin):  # type: ignore[misc]  # the library is not typed
    """Lets everybody in, as its AnonymousAuthPlugin does, which however forgets the sessions of those who go.

    Then what devices send while ingest starts anew would be acknowledged and lost.
    """

    async def authenticate(self, *, session: Session) -> bool:  # noqa: ARG002 (the signature is the base class's)
        """Yes."""
        return True


class _Rest(StreamReaderAdapter):  # type: ignore[misc]  # the library is not typed
    """A stream whose first bytes were read already."""

    def __init__(self, begun: bytes, reader: StreamReader) -> None:
        super().__init__(reader)
        self._begun = begun

    async def read(self, n: int = -1) -> bytes:
        """As its base: `n` bytes, or all until the end."""
        begun, self._begun = (self._begun, b"") if n < 0 else (self._begun[:n], self._begun[n:])
        missing = n - len(begun) if n >= 0 else -1
        return begun + (await super().read(missing) if missing else b"")


class LevelCheckingBroker(Broker):  # type: ignore[misc]  # the library is not typed
    """Refuses MQTT 5 at once, in words such a client understands.

    amqtt 0.12 reads on as if it were 3.1.1, takes the properties for something else, and may wait for ever for bytes
    that never come; the client would fall back to 3.1.1 after its keep-alive only.
    """

    async def stream_connected(self, reader: StreamReader, writer: StreamWriter, listener_name: str) -> None:
        """Look at the protocol level of the first packet before amqtt does."""
        try:
            async with asyncio.timeout(_PATIENCE):
                begun = await _until_level(reader)
        except (asyncio.IncompleteReadError, TimeoutError, OSError):  # somebody only asked whether we listen
            writer.close()
            return
        if begun[-1] > _NEWEST_SPOKEN:
            writer.write(_REFUSED)
            writer.close()
            return
        await self.external_connected(_Rest(begun, reader), StreamWriterAdapter(writer), listener_name)


async def _until_level(reader: StreamReader) -> bytes:
    """The first bytes of a CONNECT, up to its protocol level: type, length of 1 to 4 bytes, name, level."""
    begun = await reader.readexactly(2)
    while begun[-1] & 0x80 and len(begun) < 5:
        begun += await reader.readexactly(1)
    name = await reader.readexactly(2)
    rest = await reader.readexactly(min(int.from_bytes(name, "big"), 6) + 1)  # "MQTT", or "MQIsdp" of MQTT 3.1
    return begun + name + rest


def configuration(port: int) -> BrokerConfig:
    """Loopback only, without passwords, and without the plug-in that logs every packet."""
    return BrokerConfig(
        listeners={"default": ListenerConfig(type=ListenerType.TCP, bind=f"{LOOPBACK}:{port}")},
        plugins={"pulso.local.amqtt_broker.Everybody": {}},
    )


async def serve(port: int) -> None:
    """Run the broker until a signal asks it to leave."""
    stop = stop_on_signals()
    broker = LevelCheckingBroker(configuration(port))
    await broker.start()
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(serve(int(sys.argv[1])))
