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
from collections.abc import Callable, Iterable, Sequence
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
from ingest.publish_packets import Publish, leading_publishes
from pulso.settings import IngestSettings, MqttSettings

log = structlog.get_logger()

_UNSUPPORTED_VERSION = 0x84
_NO_SHARED_SUBSCRIPTIONS = 0x9E
_BESIDE = 1  # identifier of the subscription beside the shared one
_PUBACK_SUCCESS = b"\x40\x02"  # packet type and remaining length; the packet identifier follows
_RECONNECT_SECONDS = (1, 8)
_BUFFERS_PER_TURN = 8
_MOST_TOPICS = 200_000
_REMEMBERED_TOPIC = 300  # bytes
_BROKER_VERSION = "$SYS/broker/version"
_LOOK_AT_THREAD = 5.0  # seconds between two looks at whether paho's thread still runs
_CONNECTIONS = count(1)  # numbers the connections of all clients of this process
_MOSQUITTO = re.compile(rb"mosquitto version (\d+)\.(\d+)\.(\d+).*")


def covers(topic_filter: str, other: str) -> bool:
    """Whether every topic that `other` matches is matched by `topic_filter`.

    >>> covers("#", "a/+/b"), covers("a/+", "a/b"), covers("a/+/#", "a/b"), covers("a/b", "a/+"), covers("+/b", "#")
    (True, True, True, False, False)
    """
    wider, narrower = topic_filter.split("/"), other.split("/")
    for place, level in enumerate(wider):
        if level == "#":
            return True
        if place >= len(narrower) or narrower[place] == "#" or level not in ("+", narrower[place]):
            return False
    return len(wider) == len(narrower)


def common(one: str, other: str) -> str | None:
    """The filter of the topics that both match; None if there are none.

    >>> common("#", "a/+/b"), common("site/1/#", "site/+/$unit"), common("a/#", "a"), common("a/b", "a/+/c")
    ('a/+/b', 'site/1/$unit', 'a', None)
    """
    levels = _common(one.split("/"), other.split("/"))
    return None if levels is None else "/".join(levels)


def _common(one: list[str], other: list[str]) -> list[str] | None:
    if one[:1] == ["#"]:
        return other
    if other[:1] == ["#"]:
        return one
    if not one or not other:
        return [] if one == other else None
    if one[0] != other[0] and "+" not in (one[0], other[0]):
        return None
    rest = _common(one[1:], other[1:])
    return None if rest is None else [one[0] if other[0] == "+" else other[0], *rest]


def _widest(filters: Iterable[str]) -> tuple[str, ...]:
    """Without those that another one covers: what two filters match would be delivered twice."""
    kept: list[str] = []
    for name in filters:
        if not any(covers(other, name) for other in kept):
            kept = [*(other for other in kept if not covers(name, other)), name]
    return tuple(kept)


class _BatchClient(paho.Client):
    """A paho client (2.x) that reads many packets per system call and acknowledges many with one write.

    Profiled on the way of 40,000 messages: of 58 µs that paho spends on one, 33 are select and three reads of a few
    bytes each, and `ack` adds a write and a wake-up per message from another thread; of the rest most is building the
    message. So plain PUBLISH packets are read here, and paho gets all others. This class is the one place that knows of
    paho's inside; it can go when paho reads and acknowledges in batches itself.
    """

    connection = 0
    """Which connection this is, or the last one was."""

    _buffered: BufferedSocket | None = None

    def __init__(self, *arguments: Any, take: Callable[[Publish], bool], **named: Any) -> None:
        """`take` gets each plain packet on paho's thread, and says whether the connection goes on."""
        super().__init__(*arguments, **named)
        self.take = take
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
        """Handle the packets that have been read, a bounded number of buffers so that writing gets its turn."""
        for _ in range(_BUFFERS_PER_TURN):
            try:
                is_done = self._take_publishes()
            except OSError:  # a broken connection: paho meets it again and says what it is
                is_done = False
            if is_done:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            code = super().loop_read(max_packets)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._buffered is None or not self._buffered.pending():
                return code
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _take_publishes(self) -> bool:
        """Hand the plain PUBLISH packets at the head of the buffer over; whether that was all there is to read."""
        buffered = self._buffered
        if buffered is None or self._in_packet["command"]:  # paho is within a packet
            return False
        data, start = buffered.ahead()
        if start == len(data):
            return False
        packets, rest = leading_publishes(data, start, version_5=self._protocol == MQTTProtocolVersion.MQTTv5)
        if not packets:
            return False
        buffered.skip_to(rest)
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        for packet in packets:
            if not self.take(packet):
                return False
        return not buffered.pending()

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
        retained_filters: Iterable[str],
    ) -> None:
        """`retained_filters`: what the broker keeps and we need to know; asked for as far as `topic_filters` go."""
        self._mqtt = mqtt
        self._settings = settings
        self._inbox = inbox
        self._filters = _widest(settings.topic_filters)
        wanted = (common(name, each) for name in self._filters for each in retained_filters)
        self._retained_filters = _widest(name for name in wanted if name is not None)
        self._asked: dict[int, tuple[str, ...]] = {}  # filters by the packet that asked for them
        self._loop = asyncio.get_running_loop()
        self._topics: dict[bytes, str] = {}
        self._received_at = 0
        self._refused = asyncio.Event()
        self._session_began = self.subscribed = self._leaving = False
        self._shared = self._identifies = True
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

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish at most once (QoS 0), from the event loop."""
        self._client.publish(topic, payload)

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
            take=lambda packet: self._take(client, packet),
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
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            log.warning("broker_refused", reason=str(reason))
            if reason.value in (_UNSUPPORTED_VERSION, 1):
                self._loop.call_soon_threadsafe(self._refused.set)
            return
        self._session_began = True
        log.info("broker_connected", protocol=self._protocol.name, session_present=flags.session_present)
        if getattr(properties, "SharedSubscriptionAvailable", 1) == 0 and self._shared:
            log.warning("shared_subscription_not_offered", why="each worker gets every message")
            self._shared = False
        self._identifies = getattr(properties, "SubscriptionIdentifierAvailable", 1) != 0
        self._asked.clear()
        self._subscribe(client)
        if self._is_five and self._shared:
            client.message_callback_add(_BROKER_VERSION, self._on_broker_version)
            client.subscribe(_BROKER_VERSION)

    @property
    def _is_five(self) -> bool:
        return self._protocol is MQTTProtocolVersion.MQTTv5

    def _subscribe(self, client: paho.Client) -> None:
        """Ask for the topics; a shared subscription never gets retained messages, so what we need is asked for too."""
        if self._is_five and self._shared:
            self._ask(client, self._shared_filters())
            self._ask(client, self._retained_filters, identifier=_BESIDE if self._identifies else None)
        else:
            self._ask(client, self._filters)

    def _ask(self, client: paho.Client, filters: Sequence[str], *, identifier: int | None = None) -> None:
        if not filters:
            return
        if self._is_five:
            properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
            if identifier is not None:
                properties.SubscriptionIdentifier = identifier
            _, mid = client.subscribe([(name, SubscribeOptions(qos=1)) for name in filters], properties=properties)
        else:
            _, mid = client.subscribe([(name, 1) for name in filters])
        if mid is not None:
            self._asked[mid] = tuple(filters)

    def _shared_filters(self) -> tuple[str, ...]:
        return tuple(f"$share/{self._settings.share_group}/{name}" for name in self._filters)

    def _on_subscribe(
        self, client: paho.Client, _userdata: object, mid: int, reasons: Sequence[ReasonCode], _properties: object
    ) -> None:
        filters = self._asked.pop(mid, ())
        refused = {name: reason for name, reason in zip(filters, reasons, strict=False) if reason.is_failure}
        if any(reason.value == _NO_SHARED_SUBSCRIPTIONS for reason in refused.values()) and self._shared:
            log.warning("shared_subscription_refused", why="each worker gets every message")
            self._share_no_more(client)
            return
        for name, reason in refused.items():
            log.error("subscription_refused", filter=name, reason=str(reason), why="may this user read it?")
        if filters and filters != self._retained_filters:
            self.subscribed = not refused

    def _share_no_more(self, client: paho.Client) -> None:
        """Ask for the plain filters first and give the others up then: nothing is missed in between."""
        self._shared = False
        self._subscribe(client)
        narrower = [name for name in self._retained_filters if name not in self._filters]
        client.unsubscribe([*self._shared_filters(), *narrower])

    def _on_broker_version(self, client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        """Do without sharing on a Mosquitto before 2.0.12: it forgets shared subscriptions when it restarts.

        What is published between its restart and our return would be lost. With several workers each gets everything
        then, and the key absorbs it.
        """
        client.message_callback_remove(_BROKER_VERSION)  # a filtered callback costs on every other message too
        version = _MOSQUITTO.fullmatch(bytes(message.payload))
        if version and tuple(map(int, version.groups())) < (2, 0, 12):
            log.warning("shared_subscription_given_up", broker=message.payload.decode(), fixed_in="2.0.12")
            self._share_no_more(client)

    def _on_disconnect(
        self, _client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if not self._session_began:  # closed before: amqtt's answer to MQTT 5
            self._loop.call_soon_threadsafe(self._refused.set)
        self._session_began = self.subscribed = False
        log.info("broker_disconnected", reason=str(reason))

    def _on_message(self, client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        """What paho has read itself: a packet that was not all there, or not of the plain kind."""
        try:
            topic = message.topic.encode()
        except UnicodeDecodeError as error:
            topic = error.object
        content_type = getattr(message.properties, "ContentType", None) or None
        subscription = next(iter(getattr(message.properties, "SubscriptionIdentifier", ())), 0)
        packet = Publish(
            topic,
            bytes(message.payload),
            message.mid,
            message.qos,
            message.dup,
            message.retain,
            content_type,
            subscription,
        )
        assert isinstance(client, _BatchClient)  # noqa: S101 (for the type checker: _connect makes no other)
        client.take(packet)

    def _take(self, client: _BatchClient, packet: Publish) -> bool:
        """Hand a message to the inbox; False if the connection was broken because there is no room."""
        topic, payload, mid, qos, dup, retain, content_type, subscription = packet
        # No two messages have one time of receipt: it stands for the time of a measurement that tells none.
        self._received_at = received_at = max(self._received_at + 1, time.time_ns() // 1000)
        message = RawMessage(
            self._topics.get(topic) or self._topic(topic),
            payload,
            received_at,
            mid,
            qos,
            dup,
            client.connection,
            content_type,
            retain or subscription == _BESIDE,  # a new one comes by the shared subscription as well
        )
        if self._inbox.put(message) or not qos or self._leaving:
            return True
        self._give_back(client)
        return False

    def _topic(self, topic: bytes) -> str:
        text = topic.decode("utf-8", "backslashreplace")
        if len(self._topics) >= _MOST_TOPICS:
            self._topics.clear()
        if len(topic) <= _REMEMBERED_TOPIC:
            self._topics[topic] = text
        return text

    def _give_back(self, client: paho.Client) -> None:
        """Break the connection: with the next one the broker sends again what was not acknowledged."""
        log.warning("inbox_full", messages=len(self._inbox), why="the database does not keep up; trying again")
        connection = client.socket()
        if isinstance(connection, BufferedSocket):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
