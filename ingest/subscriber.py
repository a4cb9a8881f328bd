"""The broker's side of ingest: the only module of this package that knows paho.

Messages go to the inbox on paho's thread, untouched; they are acknowledged from the event loop after COMMIT. paho's
receive path is the bottleneck of the whole pipeline, so nothing else is done on its thread.
"""

import asyncio
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from typing import Any

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.buffered_socket import BufferedSocket
from ingest.inbox import Inbox
from ingest.message import RawMessage
from pulso.settings import IngestSettings, MqttSettings

log = structlog.get_logger()

_UNSUPPORTED_VERSION = 0x84
_PUBACK_SUCCESS = b"\x40\x02"  # packet type and remaining length; the packet identifier follows
_RECONNECT_SECONDS = (1, 8)
_PACKETS_PER_TURN = 500
_BROKER_VERSION = "$SYS/broker/version"
_LOOK_AT_THREAD = 5.0  # seconds between two looks at whether paho's thread still runs
_CONNECTIONS = count(1)  # numbers the connections of all clients of this process
_MOSQUITTO = re.compile(rb"mosquitto version (\d+)\.(\d+)\.(\d+).*")


class _BatchClient(paho.Client):
    """A paho client (2.x) that reads many packets per system call and acknowledges many with one write.

    Profiled on the way of 40,000 messages: of 58 µs that paho spends on one, 33 are select and three reads of a few
    bytes each, and `ack` adds a write and a wake-up per message from another thread. This class is the one place that
    knows of paho's inside; it can go when paho reads and acknowledges in batches itself.
    """

    connection = 0
    """Which connection this is, or the last one was."""

    _buffered: BufferedSocket | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._turning = threading.Lock()

    @property
    def is_running(self) -> bool:
        """Whether paho's thread lives."""
        return self._thread is not None

    def reconnect(self) -> MQTTErrorCode:
        """Begin another connection; what was to be acknowledged on the one before is forgotten, here or by paho."""
        with self._turning:
            self.connection = next(_CONNECTIONS)
        return super().reconnect()  # empties the queue of packets

    def _create_socket(self) -> Any:
        self._buffered = BufferedSocket(super()._create_socket())  # type: ignore[arg-type]
        return self._buffered

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle the packets that have been read, a bounded number so that writing gets its turn."""
        for _ in range(_PACKETS_PER_TURN):
            code = super().loop_read(max_packets)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._buffered is None or not self._buffered.pending():
                return code
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def acknowledge(self, messages: Iterable[RawMessage]) -> None:
        """Queue the PUBACKs of this connection's messages as one write: one that says success is four bytes.

        The lock keeps a new connection from beginning between the look at its number and the queue: packet identifiers
        begin anew with a session, and a late PUBACK would discard a message that nobody has stored.
        """
        with self._turning:
            mids = [message.mid for message in messages if message.connection == self.connection and message.qos]
            if mids:
                packets = b"".join(_PUBACK_SUCCESS + mid.to_bytes(2, "big") for mid in mids)
                self._packet_queue(paho.PUBACK, packets, mids[-1], 1)


class Subscriber:
    """A persistent session with the broker: MQTT 5 where it is spoken, 3.1.1 else.

    With MQTT 5 the subscription is shared, so workers can be added, and the broker keeps to our Receive Maximum.
    An MQTT 3.1.1 broker (amqtt) grants a `$share` subscription without ever delivering to it: it gets the plain filter.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        settings: IngestSettings,
        inbox: Inbox,
        *,
        retained_filters: Iterable[str] = ("pulso/v1/+/+/about",),
    ) -> None:
        self._mqtt = mqtt
        self._settings = settings
        self._inbox = inbox
        self._retained_filters = tuple(retained_filters)
        self._loop = asyncio.get_running_loop()
        self._refused = asyncio.Event()
        self._session_began = self.subscribed = self._leaving = False
        self._shared = True
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._client = self._connect()

    async def keep_speaking(self) -> None:
        """Change between MQTT 5 and 3.1.1 whenever the broker refuses the one; runs until cancelled.

        Raises RuntimeError if paho's thread has ended by itself, which is a bug that it has printed.
        """
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._refused.wait(), _LOOK_AT_THREAD)
            if not self._client.is_running:
                raise RuntimeError("the thread of the broker client has ended")
            if not self._refused.is_set():
                continue
            self._refused.clear()
            await asyncio.to_thread(self._hang_up)
            self._protocol = MQTTProtocolVersion.MQTTv311 if self._is_five else MQTTProtocolVersion.MQTTv5
            log.warning("mqtt_version_changed", to=self._protocol.name)
            self._client = self._connect()

    def acknowledge(self, messages: Iterable[RawMessage]) -> None:
        """Acknowledge stored messages. Those of an earlier connection are left: the broker sends them again."""
        self._client.acknowledge(messages)

    async def leave(self) -> None:
        """Send what is still to be sent and disconnect; the session stays with the broker."""
        self._leaving = True
        self._inbox.close()
        await asyncio.to_thread(self._hang_up)

    def _hang_up(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self.subscribed = False

    def _connect(self) -> _BatchClient:
        client = _BatchClient(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.client_id,
            protocol=self._protocol,
            clean_session=None if self._is_five else False,
            manual_ack=True,
        )
        if self._mqtt.username:
            password = self._mqtt.password.get_secret_value() if self._mqtt.password else None
            client.username_pw_set(self._mqtt.username, password)
        if self._mqtt.tls:
            client.tls_set_context(ssl.create_default_context(cafile=self._mqtt.ca_file))
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.reconnect_delay_set(*_RECONNECT_SECONDS)
        session: dict[str, Any] = {}
        if self._is_five:
            session = {"clean_start": False, "properties": self._connect_properties()}
        client.connect_async(self._mqtt.host, self._mqtt.port, self._mqtt.keep_alive, **session)
        client.loop_start()
        return client

    def _connect_properties(self) -> Properties:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = self._settings.in_flight
        properties.SessionExpiryInterval = self._settings.session_expiry
        return properties

    def _on_connect(
        self,
        client: paho.Client,
        _userdata: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        if reason.is_failure:
            log.warning("broker_refused", reason=str(reason))
            if reason.value in (_UNSUPPORTED_VERSION, 1):
                self._loop.call_soon_threadsafe(self._refused.set)
            return
        self._session_began = True
        log.info("broker_connected", protocol=self._protocol.name, session_present=flags.session_present)
        if not self._is_five:
            client.subscribe([(name, 1) for name in self._settings.topic_filters])
            return
        self._subscribe(client)
        if self._shared:
            client.message_callback_add(_BROKER_VERSION, self._on_broker_version)
            client.subscribe(_BROKER_VERSION)

    @property
    def _is_five(self) -> bool:
        return self._protocol is MQTTProtocolVersion.MQTTv5

    def _subscribe(self, client: paho.Client) -> None:
        filters = self._shared_filters() if self._shared else self._settings.topic_filters
        # A shared subscription never gets retained messages, so descriptions of things are asked for beside it.
        client.subscribe([(name, SubscribeOptions(qos=1)) for name in (*filters, *self._retained_filters)])

    def _shared_filters(self) -> list[str]:
        return [f"$share/{self._settings.share_group}/{name}" for name in self._settings.topic_filters]

    def _on_subscribe(self, _client: paho.Client, *_: object) -> None:
        self.subscribed = True

    def _on_broker_version(self, client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        """Do without sharing on a Mosquitto before 2.0.12: it forgets shared subscriptions when it restarts.

        What is published between its restart and our return would be lost, so the plain filter is asked for first
        and the shared one given up then. With several workers each gets everything, and the key absorbs it.
        """
        client.message_callback_remove(_BROKER_VERSION)  # a filtered callback costs on every other message too
        version = _MOSQUITTO.fullmatch(bytes(message.payload))
        if version and tuple(map(int, version.groups())) < (2, 0, 12):
            log.warning("shared_subscription_given_up", broker=message.payload.decode(), fixed_in="2.0.12")
            self._shared = False
            self._subscribe(client)
            client.unsubscribe(self._shared_filters())

    def _on_disconnect(
        self, _client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if not self._session_began:  # closed before: amqtt's answer to MQTT 5
            self._loop.call_soon_threadsafe(self._refused.set)
        self._session_began = self.subscribed = False
        log.info("broker_disconnected", reason=str(reason))

    def _on_message(self, client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError as error:
            topic = error.object.decode("utf-8", "backslashreplace")
        assert isinstance(client, _BatchClient)  # noqa: S101 (for the type checker: _connect makes no other)
        taken = self._inbox.put(
            RawMessage(
                topic,
                bytes(message.payload),
                time.time_ns() // 1000,
                message.mid,
                message.qos,
                message.dup,
                client.connection,
            )
        )
        if not taken and message.qos and not self._leaving:
            self._give_back(client)

    def _give_back(self, client: paho.Client) -> None:
        """Break the connection: with the next one the broker sends again what was not acknowledged."""
        log.warning("inbox_full", messages=len(self._inbox), why="the database does not keep up; trying again")
        connection = client.socket()
        if isinstance(connection, BufferedSocket):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
