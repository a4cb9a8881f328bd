"""A broker of our own: Mosquitto where it is installed, else amqtt, which is written in Python.

amqtt is enough for a demonstration (about 4,000 messages per second), with three limits: it speaks MQTT 3.1.1
only, it never delivers to a shared subscription, and it forgets queued messages when it ends.
"""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pulso.local.identity import Identity, write_private
from pulso.local.ports import LOOPBACK

_BEYOND_PATH = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"  # often not on PATH

# One line each, with the same limits as deploy/mosquitto/mosquitto.conf; a test compares them.
LIMITS = {
    "max_queued_messages": "1000000",
    "max_queued_bytes": "536870912",
    "max_inflight_messages": "0",
    "max_packet_size": "1048576",
    "persistent_client_expiration": "7d",
    "autosave_interval": "30",
}


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker to be started: its command, and the name and limits people are told."""

    name: str
    command: tuple[str, ...]
    port: int
    keeps_messages: bool


def find_mosquitto() -> Path | None:
    """Mosquitto's program, also where it lies outside PATH."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path=_BEYOND_PATH)
    return Path(found) if found else None


def mosquitto_configuration(home: Path, port: int, limits: Mapping[str, str] = MappingProxyType({})) -> str:
    """The configuration of a private Mosquitto: loopback only, nothing dropped before an outage of hours.

    `limits` take the place of those of LIMITS.
    """
    lines = [
        f"listener {port} {LOOPBACK}",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {home}/",
        "log_dest stdout",
        "log_type error",
        "log_type warning",
        "set_tcp_nodelay true",
        *(f"{key} {value}" for key, value in {**LIMITS, **limits}.items()),
    ]
    return "\n".join(lines) + "\n"


def mosquitto(
    program: Path, home: Path, port: int, identity: Identity | None, limits: Mapping[str, str] = MappingProxyType({})
) -> Broker:
    """Mosquitto with its configuration written to `home`, which `identity` must own."""
    configuration = home / "mosquitto.conf"
    write_private(identity, configuration, mosquitto_configuration(home, port, limits))
    return Broker("Mosquitto", (str(program), "-c", str(configuration)), port, keeps_messages=True)


def amqtt(port: int) -> Broker:
    """The broker in Python, as a process of its own."""
    return Broker("amqtt", (sys.executable, "-m", "pulso.local.amqtt_broker", str(port)), port, keeps_messages=False)
