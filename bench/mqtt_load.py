"""A load generator for benchmarks and chaos tests: MQTT 3.1.1 PUBLISH packets at QoS 1, written in bulk.

A client library publishes QoS 1 at about 3,000 messages/s, too slow to load what is measured here. This one writes
packets by the thousand and counts the acknowledgements; it is no client for anything else.
"""

import socket
import struct
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from pulso.mqtt_probe import remaining_length

Message = tuple[str, bytes]

_WINDOW = 60_000  # packet identifiers are 16 bits


def _publish(mid: int, topic: str, payload: bytes) -> bytes:
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + struct.pack("!H", mid) + payload
    return b"\x32" + remaining_length(len(body)) + body


def _connect(client_id: str) -> bytes:
    name = client_id.encode()
    body = b"\x00\x04MQTT\x04\x02" + struct.pack("!HH", 60, len(name)) + name
    return b"\x10" + remaining_length(len(body)) + body


class Loader:
    """One connection that publishes; a context manager."""

    def __init__(self, host: str, port: int, client_id: str = "pulso-load") -> None:
        self._socket = socket.create_connection((host, port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(_connect(client_id))
        answer = self._read(4)
        if answer[3] != 0:
            raise ConnectionError(f"the broker refused the load generator: code {answer[3]}")
        self._mid = 0

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendall(b"\xe0\x00")
        self._socket.close()

    def publish(self, messages: Iterable[Message], *, chunk: int = 500) -> int:
        """Publish all, `chunk` packets at a time, and return how many the broker acknowledged."""
        source = iter(messages)
        total = 0
        while packets := [self._next(topic, payload) for topic, payload in islice(source, chunk)]:
            self._socket.sendall(b"".join(packets))
            self._read(4 * len(packets))  # a PUBACK has four bytes
            total += len(packets)
        return total

    def publish_at(self, messages: Iterable[Message], rate: float) -> int:
        """Publish all at `rate` messages/s, in slices of 10 ms."""
        source = iter(messages)
        started, total = time.perf_counter(), 0
        while True:
            due = int((time.perf_counter() - started) * rate) - total
            if due > 0:
                sent = self.publish(islice(source, due), chunk=due)
                total += sent
                if sent < due:
                    return total
            time.sleep(0.01)

    def _next(self, topic: str, payload: bytes) -> bytes:
        self._mid = self._mid % _WINDOW + 1
        return _publish(self._mid, topic, payload)

    def _read(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            part = self._socket.recv(count - len(received))
            if not part:
                raise ConnectionError("the broker closed the connection of the load generator")
            received += part
        return bytes(received)


def traffic_messages(count: int, *, things: int = 1000, start: datetime | None = None) -> Iterator[Message]:
    """`count` messages of `things` traffic detectors, three observations each, every key once."""
    begin = (start or datetime.now(UTC) - timedelta(days=1)).replace(microsecond=0)
    for number in range(count):
        turn, thing = divmod(number, things)
        at = (begin + timedelta(seconds=turn)).isoformat()
        speed, vehicles, occupancy = 30 + number % 40 + 0.25, number % 60, number % 100 / 2
        yield (
            f"pulso/v1/traffic/load-{thing:05d}",
            f'{{"phenomenon_time":"{at}","observations":'
            f'{{"speed":{speed},"vehicle_count":{vehicles},"occupancy":{occupancy}}}}}'.encode(),
        )
