"""The MQTT topics that the IoT Agents of FIWARE share: `/<protocol>/<api key>/<device>/<verb>[/<attribute>]`."""

from typing import NamedTuple

from ingest.decoders import NotMine
from ingest.message import Decoded, ignored

DIRECTIONS = ("cmd", "cmdexe", "configuration")
"""What agent and device say to each other beside measures."""


class Address(NamedTuple):
    """Whom a topic is about. `named` says that the topic names the protocol, or that someone claimed it for us."""

    device: str
    verb: str
    attribute: str | None
    named: bool


def filters(protocol: str) -> tuple[str, ...]:
    """The topic filters of an agent, with and without the leading slash, and those of old agents."""
    roots = (f"/{protocol}", protocol)
    verbs = ("attrs", *DIRECTIONS)
    return (*(f"{root}/+/+/{verb}/#" for root in roots for verb in verbs), "/+/+/attrs/#")


def address(levels: list[str], protocol: str) -> Address:
    """Device and verb of a topic. One that is claimed for the agent without naming a verb is about its last level."""
    for back in (1, 2):
        if len(levels) > back and levels[-back] in ("attrs", *DIRECTIONS):
            device = levels[-back - 1]
            if not device:
                raise NotMine
            named = protocol in levels[: -back - 2]
            return Address(device, levels[-back], levels[-1] if back == 2 else None, named)
    if not levels[-1]:
        raise NotMine
    return Address(levels[-1], "attrs", None, True)


def not_measured(where: Address) -> Decoded | None:
    """What a message of another verb than `attrs` is: nothing measured; None for measures."""
    if where.verb == "attrs":
        return None
    return ignored(f"{where.verb}: between agent and device, nothing is measured", where.device)
