"""One MQTT connection made by hand, to learn what a broker is before any client library is involved."""

import secrets
import socket
import ssl
from dataclasses import dataclass

from pulso.errors import AppError
from pulso.settings import MqttSettings

_CONNECT, _CONNACK, _DISCONNECT = 0x10, 0x20, b"\xe0\x00"
_PATIENCE = 5.0

# MQTT 5.0, section 2.2.2.2: identifiers of the properties a CONNACK may carry, and how many bytes follow them.
# Those of variable length are strings: two bytes of length first.
_FIXED = {0x11: 4, 0x13: 2, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1}
_RECEIVE_MAXIMUM, _MAXIMUM_QOS, _SHARED_AVAILABLE = 0x21, 0x24, 0x2A


class BrokerUnreachable(AppError):
    """The broker cannot be reached."""


@dataclass(frozen=True, slots=True)
class BrokerReport:
    """What a broker says of itself: the newest protocol it speaks (5 or 4, which is 3.1.1) and its answer.

    `reason` 0 is success. The rest is known of MQTT 5 alone; what is not told has the standard's default.
    """

    protocol: int
    reason: int
    receive_maximum: int = 65_535
    maximum_qos: int = 2
    shared_subscriptions: bool = True


def ask(settings: MqttSettings) -> BrokerReport:
    """Connect with MQTT 5, and with 3.1.1 if that is refused. Raises BrokerUnreachable."""
    try:
        answer = _connect(settings, 5)
        if answer is not None and answer[1] not in (0x01, 0x84):  # unacceptable protocol version, in 3.1.1 and 5
            return _report(answer)
        answer = _connect(settings, 4)
    except (OSError, ssl.SSLError) as error:
        raise BrokerUnreachable(f"{settings.host}:{settings.port}: {error}") from error
    if answer is None:
        raise BrokerUnreachable(f"{settings.host}:{settings.port} takes connections but does not speak MQTT")
    return BrokerReport(4, answer[1], shared_subscriptions=False)


def _connect(settings: MqttSettings, protocol: int) -> bytes | None:
    """The variable header of the CONNACK; None if the broker hung up or said something else."""
    with _open(settings) as connection:
        connection.sendall(_connect_packet(settings, protocol))
        head = connection.recv(2)
        if len(head) < 2 or head[0] != _CONNACK:
            return None
        answer = connection.recv(head[1])
        connection.sendall(_DISCONNECT)
    return answer if len(answer) >= 2 else None


def _open(settings: MqttSettings) -> socket.socket:
    plain = socket.create_connection((settings.host, settings.port), timeout=_PATIENCE)
    if not settings.tls:
        return plain
    context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    return context.wrap_socket(plain, server_hostname=settings.host)


def _connect_packet(settings: MqttSettings, protocol: int) -> bytes:
    flags = 0x02  # clean start: leaves nothing behind
    words = [f"pulso-doctor-{secrets.token_hex(4)}"]
    if settings.username is not None:
        flags |= 0x80
        words.append(settings.username)
    if settings.password is not None:
        flags |= 0x40
        words.append(settings.password.get_secret_value())
    header = _string("MQTT") + bytes([protocol, flags]) + settings.keep_alive.to_bytes(2, "big")
    body = header + (b"\x00" if protocol == 5 else b"") + b"".join(_string(word) for word in words)
    return bytes([_CONNECT]) + remaining_length(len(body)) + body


def _string(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw


def remaining_length(length: int) -> bytes:
    """Variable byte integer (MQTT 5.0, section 1.5.5)."""
    encoded = bytearray()
    while True:
        length, digit = divmod(length, 128)
        encoded.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(encoded)


def _report(answer: bytes) -> BrokerReport:
    properties = _properties(answer[3:])
    return BrokerReport(
        protocol=5,
        reason=answer[1],
        receive_maximum=properties.get(_RECEIVE_MAXIMUM, 65_535),
        maximum_qos=properties.get(_MAXIMUM_QOS, 2),
        shared_subscriptions=bool(properties.get(_SHARED_AVAILABLE, 1)),
    )


def _properties(encoded: bytes) -> dict[int, int]:
    """Numeric properties by identifier; strings are passed over."""
    found: dict[int, int] = {}
    while encoded:
        identifier, encoded = encoded[0], encoded[1:]
        size = _FIXED.get(identifier)
        if size is None:
            size = 2 + int.from_bytes(encoded[:2], "big")
        else:
            found[identifier] = int.from_bytes(encoded[:size], "big")
        encoded = encoded[size:]
    return found
