"""Publishing over MQTT, QoS 1: bounded in flight, reconnecting, and waiting for every PUBACK at the end.

The only module here that imports paho. paho's own network thread would fight the builder of the messages for
the interpreter lock; its sockets hang on the event loop instead, so that everything stays in one thread.
"""

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from pulso.errors import PublishError
from pulso.settings import MqttSettings

log = structlog.get_logger()

CONNACK_WITHIN = 10.0  # seconds
BACK_OFF = (0.25, 15.0)  # first and longest pause before a reconnect, in seconds
_REFUSED_FOR_GOOD = frozenset(
    {
        "Bad user name or password",
        "Not authorized",
        "Client identifier not valid",
        "Banned",
        "Bad authentication method",
    }
)

Handler = Callable[[str, bytes], None]


class Publisher:
    """One MQTT connection that publishes; an asynchronous context manager.

    At most `in_flight` messages, and never more than the broker's Receive Maximum, are unacknowledged at one
    time; `publish` waits for room. A lost connection is restored with a back-off and jitter, and what was not
    acknowledged is sent again with the DUP flag. `subscriptions` are handlers by topic filter; a handler is
    called on the event loop and must not raise.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        *,
        in_flight: int = 1000,
        subscriptions: Mapping[str, Handler] | None = None,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._limit = self._in_flight = in_flight
        self._subscriptions = dict(subscriptions or {})
        self._connected = asyncio.Event()
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._gone = asyncio.Event()
        self._outstanding = 0
        self._refusal: str | None = None
        self._ever_connected = False
        self._leaving = False
        self.acknowledged = 0
        self.refused = 0

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the connection stands."""
        return self._connected.is_set()

    @property
    def outstanding(self) -> int:
        """Messages handed over and not yet acknowledged."""
        return self._outstanding

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._client = self._new_client(MQTTProtocolVersion.MQTTv5)
        self._keeper = asyncio.create_task(self._keep_connected(), name="mqtt-connection")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        self._client.disconnect()
        self._client.loop_write()
        self._drop_socket()

    async def wait_connected(self, within: timedelta | None = None) -> None:
        """Return when the broker has accepted us. Raises PublishError after `within`, or when refused for good."""
        waiter = asyncio.ensure_future(self._connected.wait())
        seconds = within.total_seconds() if within else None
        done, _ = await asyncio.wait({waiter, self._keeper}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if waiter in done:
            return
        waiter.cancel()
        if self._keeper in done:
            self._keeper.result()  # raises what ended it
        raise PublishError(f"no answer from the broker at {self._address}" + self._because())

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Hand one message over, waiting while the connection is down or too much is in flight."""
        while not self._room.is_set():
            await self._wait_for_room()
        self._outstanding += 1
        self._idle.clear()
        if self._outstanding >= self._limit:
            self._room.clear()
        self._client.publish(topic, payload, qos=1, retain=retain)

    async def drain(self, within: timedelta) -> bool:
        """Wait until everything handed over is acknowledged; False if that took longer than `within`."""
        try:
            await asyncio.wait_for(self._idle.wait(), within.total_seconds())
        except TimeoutError:
            log.warning("unacknowledged", messages=self._outstanding, waited_seconds=within.total_seconds())
            return False
        return True

    @property
    def _address(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def _because(self) -> str:
        return f": {self._refusal}" if self._refusal else ""

    async def _wait_for_room(self) -> None:
        waiter = asyncio.ensure_future(self._room.wait())
        await asyncio.wait({waiter, self._keeper}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if self._keeper.done():
            self._keeper.result()

    def _update_room(self) -> None:
        if self._connected.is_set() and self._outstanding < self._limit:
            self._room.set()
        else:
            self._room.clear()

    # Connection

    async def _keep_connected(self) -> None:
        """Connect, feed keep-alives, reconnect; ends only by an error that trying again cannot mend."""
        pause = BACK_OFF[0]
        while True:
            await self._connect_once()
            if self._connected.is_set():
                pause = BACK_OFF[0]
                await self._keep_alive()
            elif self._refusal in _REFUSED_FOR_GOOD:
                raise PublishError(f"the broker at {self._address} refused the connection{self._because()}")
            log.warning("broker_away", address=self._address, reason=self._refusal, retry_within=pause)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter, not a secret
            pause = min(pause * 2, BACK_OFF[1])

    async def _keep_alive(self) -> None:
        """Let paho send its pings and notice a dead connection; returns when the connection is gone."""
        while self._client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS and self._connected.is_set():
            self._gone.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), 1.0)

    async def _connect_once(self) -> None:
        settings = self._settings
        self._refusal = None
        self._answered = asyncio.Event()
        try:
            await asyncio.to_thread(self._client.connect, settings.host, settings.port, keepalive=settings.keep_alive)
            await asyncio.wait_for(self._answered.wait(), CONNACK_WITHIN)
        except TimeoutError:
            self._refusal = "no answer to CONNECT"
        except OSError as error:
            self._refusal = error.strerror or str(error)
            return
        if not self._connected.is_set() and not self._ever_connected:
            self._try_other_protocol()

    def _try_other_protocol(self) -> None:
        """MQTT 5 and 3.1.1 in turn: a broker that speaks only 3.1.1 refuses 5, or just hangs up."""
        version = self._client.protocol
        other = MQTTProtocolVersion.MQTTv5 if version == mqtt.MQTTv311 else MQTTProtocolVersion.MQTTv311
        if self._refusal in _REFUSED_FOR_GOOD:
            return
        self._drop_socket()
        self._client = self._new_client(other)

    def _new_client(self, version: MQTTProtocolVersion) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, self._client_id, protocol=version, reconnect_on_failure=False)
        client.max_inflight_messages_set(0)  # we bound it; paho's own bound scans its queue at every PUBACK
        if self._settings.username:
            password = self._settings.password
            client.username_pw_set(self._settings.username, password.get_secret_value() if password else None)
        if self._settings.tls:
            client.tls_set(ca_certs=str(self._settings.ca_file) if self._settings.ca_file else None)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write
        return client

    def _drop_socket(self) -> None:
        """Close the socket without waiting for the other side."""
        sock = self._client.socket()
        if sock is not None:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
            sock.close()

    # Callbacks of paho: on the loop, but for those of the socket, which `connect` calls from its thread.

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
        else:
            receive_maximum = getattr(properties, "ReceiveMaximum", None) or self._in_flight
            self._limit = min(self._in_flight, receive_maximum)
            self._ever_connected = True
            self._connected.set()
            for topic_filter in self._subscriptions:
                client.subscribe(topic_filter, qos=1)
            version = "3.1.1" if client.protocol == mqtt.MQTTv311 else "5"
            log.info("broker_connected", address=self._address, mqtt=version, in_flight=self._limit)
        self._update_room()
        self._answered.set()

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._refusal = self._refusal or str(reason)
        self._connected.clear()
        self._gone.set()
        self._update_room()
        self._answered.set()

    def _on_publish(
        self, _client: mqtt.Client, _data: Any, _mid: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        if reason.is_failure:
            self.refused += 1
            log.error("publish_refused", reason=str(reason))
        else:
            self.acknowledged += 1
        self._outstanding -= 1
        if not self._outstanding:
            self._idle.set()
        if not self._room.is_set():
            self._update_room()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        for topic_filter, handler in self._subscriptions.items():
            if mqtt.topic_matches_sub(topic_filter, message.topic):
                handler(message.topic, bytes(message.payload))

    def _on_the_loop(self, call: Callable[..., object], *arguments: Any) -> None:
        if threading.get_ident() == self._thread:
            call(*arguments)
        else:
            self._loop.call_soon_threadsafe(call, *arguments)

    def _on_socket_open(self, client: mqtt.Client, _data: Any, sock: Any) -> None:
        self._on_the_loop(self._loop.add_reader, sock, self._read, client, sock)

    def _on_socket_close(self, _client: mqtt.Client, _data: Any, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._on_the_loop(self._loop.remove_reader, sock.fileno())

    def _on_register_write(self, client: mqtt.Client, _data: Any, sock: Any) -> None:
        self._on_the_loop(self._loop.add_writer, sock, client.loop_write)

    def _on_unregister_write(self, _client: mqtt.Client, _data: Any, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._on_the_loop(self._loop.remove_writer, sock.fileno())

    def _read(self, client: mqtt.Client, sock: Any) -> None:
        """Read what has come, including what a TLS layer holds back where the selector cannot see it."""
        while client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            if not (hasattr(sock, "pending") and sock.pending()):
                return
