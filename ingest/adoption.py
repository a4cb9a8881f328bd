"""Adopting a device: what its kept messages would be with a mapping or profile, before anything is changed."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from ingest.dry_run import dry_run
from ingest.mapping import device_paths, load_devices
from ingest.message import RawMessage
from pulso.city import load_pack
from pulso.db.rejected import KeptMessage
from pulso.errors import ConfigurationError
from pulso.model import to_micros

UNNAMED = "unnamed"
"""What a proposal calls a property it cannot tell."""

UNDERSTOOD = frozenset({"ingest", "ignore", "metadata"})


@dataclass(frozen=True, slots=True)
class Wish:
    """How a device is to be understood: by a mapping's text, by a proposed one, by a profile, or as it is now."""

    mapping: str | None = None
    proposed: bool = False
    profile: str | None = None

    def __post_init__(self) -> None:
        if (self.mapping is not None) + self.proposed + (self.profile is not None) > 1:
            raise ConfigurationError("give one of a mapping, the proposed one, or a profile")


def check_devices(pack: str, documents: Mapping[str, str] | None = None) -> None:
    """Load the devices of a city pack with adopted documents. Raises ConfigurationError that names every fault."""
    city = load_pack(pack)
    load_devices(device_paths(city), documents or {}, zones=frozenset(zone.zone_id for zone in city.zones))


def propose_mapping(kept: Sequence[KeptMessage]) -> str:
    """A mapping to start from, for the messages of one device, the newest first. Raises ConfigurationError for none."""
    from ingest.proposals.propose import propose

    if not kept:
        raise ConfigurationError("no message is kept, so nothing can be proposed")
    return propose([raw(message) for message in reversed(kept)])


def raw(message: KeptMessage) -> RawMessage:
    """The message as it came."""
    row = message.row
    return RawMessage(
        row.topic,
        message.payload,
        to_micros(row.received_at),
        content_type=row.content_type,
        retained=row.retained,
    )


def preview(  # noqa: PLR0913 (a device, and the ways to understand it)
    device: str,
    kept: Sequence[KeptMessage],
    *,
    pack: str,
    documents: Mapping[str, str],
    mapping: str | None = None,
    proposed: bool = False,
    profile: str | None = None,
) -> dict[str, Any]:
    """What the kept messages of a device would be if it were adopted that way.

    `document` is (name, text) of what would be kept, None if nothing has to be; `things` the ids the messages name;
    `messages` what each would come to, as the dry run tells it, with its id; `understood` how many would be.
    Raises ConfigurationError for a faulty mapping or an unknown profile.
    """
    document = _document(device, kept, Wish(mapping, proposed, profile))
    text = None if document is None else document[1]
    if document is not None:
        check_devices(pack, {**documents, document[0]: document[1]})
    others = {name: other for name, other in documents.items() if document is None or name != document[0]}
    messages = [_tried(message, text, document, pack, others) for message in kept]
    good = [each for each in messages if each["outcome"] in UNDERSTOOD]
    _check_complete(good)
    things = {str(thing["thing_id"]): thing["family"] for each in good for thing in each["things"]}
    return {
        "document": document,
        "things": [{"thing_id": name, "family": family} for name, family in things.items()],
        "understood": len(good),
        "messages": messages,
    }


def _check_complete(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a mapping that leaves open what is measured, as a proposal may: nobody would find its results again."""
    if any(row["observed_property"] == UNNAMED for each in messages for row in each["observations"]):
        raise ConfigurationError(f"the mapping calls a result {UNNAMED!r}: say what is measured, and adopt with that")


def _tried(
    message: KeptMessage, text: str | None, document: tuple[str, str] | None, pack: str, others: Mapping[str, str]
) -> dict[str, Any]:
    received_at: datetime = message.row.received_at
    answer = dry_run(
        message.row.topic,
        message.payload,
        mapping=text,
        mapping_name=None if document is None else document[0],
        received_at=received_at,
        content_type=message.row.content_type,
        pack=pack,
        documents=others,
    )
    return {"id": message.row.rejected_id, **answer}


def _document(device: str, kept: Sequence[KeptMessage], wish: Wish) -> tuple[str, str] | None:
    name = document_name(device)
    if wish.mapping is not None:
        return name, wish.mapping
    if wish.proposed:
        return name, propose_mapping(kept)
    if wish.profile is not None:
        return name, _by_profile(device, name, wish.profile, kept)
    return None


def _by_profile(device: str, name: str, profile: str, kept: Sequence[KeptMessage]) -> str:
    """A document that gives a device, or the topics of devices without an id, the profile of that name."""
    if any(message.row.external_id == device for message in kept):
        return (
            f"[[profile]]\nname = {_toml(name)}\nlike = {_toml(profile)}\nmatch = {{ devices = [{_toml(device)}] }}\n"
        )
    return f"[[source]]\nname = {_toml(name)}\ntopics = [{_toml(device)}]\nprofile = {_toml(profile)}\n"


def document_name(device: str) -> str:
    """The name under which what is adopted for a device is kept.

    >>> document_name("0042"), document_name("Bin 7/a")
    ('adopted-0042', 'adopted-Bin-7-a-c9f48b')
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", device)[:40].strip("-")
    distinct = "" if plain == device else f"-{sha256(device.encode()).hexdigest()[:6]}"
    return f"adopted-{plain}{distinct}"


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
