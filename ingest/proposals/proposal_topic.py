"""The topics of messages that nobody understood: which levels are the device, which say what is measured."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingest.privacy import REMOVED, is_personal
from ingest.proposals.proposal_fields import LONGEST_KEY, converts
from ingest.vocabulary import Meaning, meaning

_HAS_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Levels:
    """The pattern of a topic, and what its parts are.

    `device` is how the parts that tell the device are written, None without any; `is_guess`: nothing about them looks
    like an id; `literal` is the pattern without them; `readings` are the names of the part `{reading}`, `fixed` the
    one name of a property that stands in the topic.
    """

    pattern: str
    device: str | None
    is_guess: bool
    literal: str
    readings: Mapping[str, Meaning]
    fixed: Meaning | None


def levels_of(topics: Sequence[Sequence[str]]) -> Levels:
    """What the levels of the topics of one device, or of one kind, are; the last topic is the one looked at."""
    shape = topics[-1]
    alike = [topic for topic in topics if len(topic) == len(shape)]
    seen = [list(dict.fromkeys(topic[at] for topic in alike)) for at in range(len(shape))]
    meant = [{level: told for level in levels[:20] if (told := _certain(level)) is not None} for levels in seen]
    changing = {at for at, levels in enumerate(seen) if len(levels) > 1}
    reading = next((at for at in sorted(changing, reverse=True) if len(meant[at]) == len(seen[at])), None)
    named = (changing - {reading}) or {
        at for at, level in enumerate(shape) if at != reading and not meant[at] and _looks_like_id(level)
    }
    is_guess = not named
    if not named and len(shape) > 1:
        named = {at for at in range(len(shape)) if at != reading and not meant[at]}
        named = {max(named)} if named else set()
    named = {at for at in named if shape[at]}
    first = min(named, default=None)
    names = {at: "device" if at == first else f"part{at + 1}" for at in named}
    if reading is not None:
        names[reading] = "reading"
    fixed = next((told[shape[at]] for at, told in reversed(list(enumerate(meant))) if told and at not in names), None)
    return Levels(
        "/".join(f"{{{names[at]}}}" if at in names else _escaped(level) for at, level in enumerate(shape)),
        "-".join(f"{{{names[at]}}}" for at in sorted(named)) or None,
        is_guess,
        "/".join(
            "+" if _HAS_DIGIT.search(level) and at in named else _escaped(level) for at, level in enumerate(shape)
        ),
        meant[reading] if reading is not None else {},
        fixed,
    )


def _certain(level: str) -> Meaning | None:
    told = meaning(level) if level and len(level) <= LONGEST_KEY and not is_personal(level) else None
    return told if told is not None and told.certain and converts(told) else None


def _looks_like_id(level: str) -> bool:
    """Whether a level tells one device from others: it holds digits, and is no version such as `v3`."""
    return bool(_HAS_DIGIT.search(level)) and not re.fullmatch(r"v?\d(\.\d+)?", level)


def _escaped(level: str) -> str:
    """A level as a pattern: one with braces or wildcards, or of which something was removed, stands for any text."""
    return "+" if any(sign in level for sign in "{}+#") or REMOVED in level or not level.isprintable() else level
