"""A mapping to start from, for messages that nobody understood: what is certain is filled in, the rest is listed.

A person completes it: the proposal loads as it is, observes what the vocabulary is certain of (else one value under a
name of its own), and lists every other number as a comment, with its value, to be named and given a unit.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from zoneinfo import ZoneInfo

from ingest.decoders import NotMine, by_content_type, by_look, by_topic
from ingest.message import Context, Incoming, RawMessage, Reported
from ingest.privacy import is_personal, redact, redact_topic, squeezed
from ingest.proposals.proposal_fields import (
    LONGEST_KEY,
    MOST_FIELDS,
    PART_WORDS,
    SINGLE,
    UNIT_WORDS,
    Leaf,
    converts,
    id_among,
    json_inside,
    labelled,
    leaves_of,
    meanings,
    place_among,
    records_in,
    time_among,
    written,
)
from ingest.proposals.proposal_topic import Levels, levels_of
from ingest.proposals.spelling import Spelled, spelled
from ingest.proposals.text_shapes import Shape, shape_of
from ingest.proposals.toml_text import quoted, shown
from ingest.vocabulary import Meaning, family_of, meaning
from pulso.errors import DecodeError
from pulso.model import Family
from pulso.units import CANONICAL_UNITS

_OPENING = (
    "# A proposal. Complete it, then try it: pulso decode --topic TOPIC --mapping FILE < PAYLOAD",
    "# docs/reference/mapping.md explains every key.",
    "",
)
_NO_FAMILY = '# family = "traffic"  # or waste, energy, air'


def propose(messages: RawMessage | Sequence[RawMessage]) -> str:
    """TOML of the mapping language for messages of one device or of one kind; the latest is the one looked at.

    Topic levels that differ between the messages, or look like the name of a device, become named parts. The text loads
    without faults. Raises ValueError if there is no message.
    """
    given = [messages] if isinstance(messages, RawMessage) else list(messages)
    if not given:
        raise ValueError("a proposal needs at least one message")
    latest = given[-1]
    thing = _thing_with_fields(latest)
    if thing is not None:
        return _profile(thing)
    levels = levels_of([redact_topic(message.topic).split("/") for message in given])
    return _of(latest, levels).text()


def _of(message: RawMessage, levels: "Levels") -> "_Proposal":
    """The proposal for a message of no format that a decoder knows, by what its payload is."""
    try:
        body: object = Incoming(message).body
    except DecodeError:
        return _of_text(message, levels)
    if isinstance(body, dict) and (inside := json_inside(body)) is not None:
        path, inner = inside
        shape = Shape(f'format = {{ type = "json", inside = {quoted(path)} }}', inner)
        return _Proposal(message, levels, inner, "", shape, body)
    if isinstance(body, list):
        first = next((each for each in body if isinstance(each, dict)), None)
        return _Proposal(message, levels, first, "[*]", None, numerous=len(body) > 1)
    if isinstance(body, dict) and (listed := records_in(body)) is not None:
        path, records = listed
        return _Proposal(message, levels, records[0], f"{path}[*]", None, body, records, numerous=len(records) > 1)
    return _Proposal(message, levels, body, "", None)


def _of_text(message: RawMessage, levels: "Levels") -> "_Proposal":
    """The same of a payload that is no JSON."""
    try:
        text = Incoming(message).text.strip()
    except DecodeError:
        return _Proposal(message, levels, None, "", None)
    shape = shape_of(text)
    if shape is None or isinstance(shape.record, str):
        return _Proposal(message, levels, text, "", shape)
    if isinstance(shape.record, list):
        return _Proposal(message, levels, shape.record[0], "[*]", shape, numerous=len(shape.record) > 1)
    return _Proposal(message, levels, shape.record, "", shape)


def _thing_with_fields(message: RawMessage) -> Reported | None:
    """The device of a known envelope whose fields nobody gave a meaning."""
    incoming = Incoming(message)
    for reader in (*by_content_type(incoming), *by_topic(incoming), *by_look(incoming)):
        try:
            things = reader.decode(incoming, Context(ZoneInfo("UTC"))).things
        except (DecodeError, NotMine):
            continue
        for thing in things:
            if thing.fields:
                return thing
    return None


def _profile(thing: Reported) -> str:
    """A profile of a device whose messages come in a known envelope."""
    record = thing.fields
    leaves = list(islice(leaves_of(record), MOST_FIELDS * 4))
    numbers = [leaf for leaf in leaves if leaf.number is not None][:MOST_FIELDS]
    known = meanings(numbers, record)
    certain = {leaf: told for leaf, told in known.items() if told.certain}
    told = [each.observed_property for each in certain.values()]
    family = f'family = "{thing.family}"' if thing.family else _family(told, known.values())
    name = re.sub(r"[^A-Za-z0-9_]+", "_", thing.external_id)[:50].strip("_")
    observed = [line for leaf, told in certain.items() for line in _observation("profile", leaf, told)]
    return "\n".join(
        [
            *_OPENING,
            "[[profile]]",
            f"name = {quoted(f'device_{name}')}",
            family,
            f"match.devices = [{quoted(_literally(thing.external_id))}]  # ids, or patterns such as 'bin-*'",
            *([f"# match.models = [{', '.join(map(quoted, thing.model))}]"] if thing.model else []),
            *(observed or _stand_in("profile", numbers)),
            *_comments("profile", numbers, certain, known),
            "",
        ]
    )


def _family(certain: Sequence[str], guesses: Iterable[Meaning]) -> str:
    """The line of the family: as a comment, unless it stays the same when what is only guessed counts as well."""
    sure = family_of(certain)
    likely = family_of([*certain, *(each.observed_property for each in guesses)])
    if sure is not None and sure is likely:
        return f'family = "{sure}"'
    first = likely or Family.TRAFFIC
    return f'# family = "{first}"  # or {", ".join(each for each in Family if each is not first)}'


def _literally(text: str) -> str:
    """A pattern that fits this text only."""
    return re.sub(r"([*?\[])", r"[\1]", text)


@dataclass(frozen=True, slots=True)
class _Proposal:
    """`record` is what paths begin in: an object, a number or a text; None where the payload cannot be read.

    `steps` leads to the records if there are several, `around` is then the object around their list, `records` are
    they, and `numerous` says that this message has more than one. `shape` is set where the payload is no JSON.
    """

    message: RawMessage
    levels: Levels
    record: object
    steps: str
    shape: Shape | None
    around: Mapping[str, object] | None = None
    records: Sequence[Mapping[str, object]] = ()
    numerous: bool = False

    def text(self) -> str:
        if self.record is None:
            return _unreadable(self.message.payload)
        if isinstance(self.record, str):
            return self._of_text(self.record)
        leaves = list(islice(leaves_of(self.record), MOST_FIELDS * 4))
        outer = [] if self.around is None else [Leaf(leaf.keys, leaf.value) for leaf in self._around()]
        near = self.message.received_at
        time, used = time_among(leaves, near) or (None, [])
        if time is None and outer:
            time, used = time_among(outer, near) or (None, [])
            time = time and time.replace('"', '"^.', 1)
        place = place_among(leaves)
        spent = {*used, *(place or ())}
        spent |= {leaf for leaf in leaves if leaf.value in self.message.topic.split("/")}  # the device again
        numbers = [leaf for leaf in leaves if leaf not in spent and leaf.number is not None][:MOST_FIELDS]
        keys = labelled(self.records) if self.records else None
        known = {} if keys is not None else meanings(numbers, self.record)
        if not known and not leaves[1:] and self.levels.fixed is not None and numbers:
            known = {numbers[0]: self.levels.fixed}
        certain = {leaf: told for leaf, told in known.items() if told.certain}
        lines = [*self._head(leaves, outer), *([f"time = {time}"] if time is not None else [])]
        if place is not None:
            lines.append(f"position = {{ latitude = {quoted(place[0].path)}, longitude = {quoted(place[1].path)} }}")
        told = list(self.levels.readings.values()) or list(certain.values())
        if keys is not None:
            return "\n".join([*lines, *self._of_labels(*keys), ""])
        lines.append(_family([each.observed_property for each in told], known.values()))
        if self.levels.readings and numbers:
            return "\n".join([*lines, *_by_topic(self.levels.readings, numbers[0].path), ""])
        observed = [line for leaf, each in certain.items() for line in _observation("mapping", leaf, each)]
        if not observed:
            observed = _stand_in("mapping", [*known, *numbers])
        return "\n".join([*lines, *observed, *_comments("mapping", numbers, certain, known), ""])

    def _around(self) -> Iterator[Leaf]:
        leaves = islice(leaves_of(self.around), MOST_FIELDS * 4)
        return (leaf for leaf in leaves if all(isinstance(key, str) for key in leaf.keys))

    def _head(self, leaves: Sequence[Leaf], outer: Sequence[Leaf] = ()) -> list[str]:
        thing, topic = self._thing(leaves, outer)
        return [
            *_OPENING,
            "[[mapping]]",
            f"name = {quoted(self._name())}",
            f"topic = {quoted(topic)}",
            *([self.shape.line] if self.shape is not None else []),
            *([f"each = {quoted(self.steps)}"] if self.steps else []),
            f"thing = {thing}",
        ]

    def _name(self) -> str:
        words = list(re.findall(r"[A-Za-z0-9]+", self.levels.pattern.replace("{", "").replace("}", "")))
        name = "_".join(words)[:60].strip("_")
        return name if name[:1].isalpha() else f"topic_{name}"[:60]

    def _thing(self, leaves: Sequence[Leaf], outer: Sequence[Leaf]) -> tuple[str, str]:
        """What the device is called, and the topic: by the parts that change, else by a field that looks like an id.

        Where a message has many devices, or a topic no telling part, the field goes first.
        """
        parts, pattern = self.levels.device, self.levels.pattern
        own = id_among(leaves)
        if self.numerous and labelled(self.records or ({},)) is None:
            inner = next((leaf for leaf in leaves if leaf.words & PART_WORDS and SINGLE.fullmatch(leaf.path)), None)
            if own is not None:
                return f"{{ path = {quoted(own.path)} }}", pattern
            if inner is not None and parts is not None:
                return f'"{parts}-{{{inner.path}}}"', pattern
        if parts is None or self.levels.is_guess:
            around = id_among(outer)
            path = own.path if own is not None else None if around is None else f"^.{around.path}"
            if path is not None:
                return f"{{ path = {quoted(path)} }}", self.levels.literal
        whole = quoted(re.sub(r"[{}]", "", redact_topic(self.message.topic))[:200] or "device")
        return whole if parts is None else f'"{parts}"', pattern

    def _of_labels(self, label: str, value: str) -> list[str]:
        """One observation for a list of records that name what they tell."""
        values: dict[str, str] = {}
        unit = next((key for key in self.records[0] if "".join(squeezed(key)) in UNIT_WORDS), None)
        family: list[str] = []
        for record in self.records[:MOST_FIELDS]:
            name = record.get(label)
            stated = record.get(unit) if unit is not None else None
            if not isinstance(name, str) or len(name) > LONGEST_KEY or is_personal(name) or name in values:
                continue
            told = meaning(name, stated) if isinstance(stated, str) else meaning(name)
            if told is not None and not converts(told):
                told = None
            values[name] = told.observed_property if told is not None else ""
            family += [told.observed_property] if told is not None else []
        known = [f"{quoted(name)} = {quoted(told)}" for name, told in values.items() if told]
        others = [name for name, told in values.items() if not told]
        if not known:
            known = [f"{quoted(others.pop(0) if others else 'the name')} = {_TO_BE_NAMED}"]
        spellings = [each for each in (spelled(record.get(value)) for record in self.records) if each is not None]
        found = family_of(family)
        return [
            f'family = "{found}"' if found else _NO_FAMILY,
            "",
            "[[mapping.observation]]",
            f"property = {{ path = {quoted(written([label]))}, values = {{ {', '.join(known)} }} }}",
            *([f"# Not listed, so left aside: {', '.join(map(shown, others))}"] if others else []),
            f"value = {quoted(written([value]))}",
            *([f"unit = {{ path = {quoted(written([unit]))} }}"] if unit is not None else []),
            *_spelling(spellings),
        ]

    def _of_text(self, text: str) -> str:
        """A payload that is one number, or a text that a person has to take apart."""
        number = spelled(text)
        told = self.levels.fixed
        head = self._head(())
        at = next((at for at, line in enumerate(head) if line.startswith("format = ")), len(head))
        payload = redact(text.encode(), "json").decode()
        head[at : at + 1] = [f'format = "text"  # the payload: {shown(payload)}']
        if number is not None:
            if number.unit is not None and told is not None:
                told = told._replace(unit=number.unit)
            family = family_of(
                [each.observed_property for each in self.levels.readings.values()]
                or ([told.observed_property] if told else [])
            )
            lines = [*head, f'family = "{family}"' if family else _NO_FAMILY]
            if self.levels.readings:
                return "\n".join([*lines, *_by_topic(self.levels.readings, "@"), *_spelling([number]), ""])
            leaf = Leaf((), text)
            observed = _stand_in("mapping", [leaf]) if told is None else _observation("mapping", leaf, told)
            return "\n".join([*lines, *observed, ""])
        pattern = "pattern = '([+-]?[0-9]+(?:\\.[0-9]+)?)'  # the group is the number"
        return "\n".join([*head, _NO_FAMILY, *_stand_in("mapping", [Leaf((), "")]), pattern, ""])


_TO_BE_NAMED = '{ property = "unnamed", unit = "1" }'  # what it is, and in which unit, a person says


def _unreadable(payload: bytes) -> str:
    """What is said of bytes that no mapping can read."""
    kinds = ((b"\x1f\x8b", "gzip that is cut off, or of too much"), (b"PK\x03\x04", "a ZIP archive"))
    kind = next((told for start, told in kinds if payload.startswith(start)), None)
    why = f"They look like {kind}." if kind else "Have the sender, or a gateway that knows it, send JSON or text."
    known = "JSON, CBOR, MessagePack, XML or text"
    return f"# These {len(payload)} bytes are no {known}; no mapping can read them.\n# {why}\n"


def _by_topic(readings: Mapping[str, Meaning], path: str) -> list[str]:
    """One observation whose property stands in the topic."""
    values = ", ".join(
        f"{quoted(name)} = {{ property = {quoted(told.observed_property)}"
        + (f", unit = {quoted(told.unit)} }}" if told.unit is not None else " }")
        for name, told in readings.items()
    )
    return [
        "",
        "[[mapping.observation]]",
        f'property = {{ part = "reading", values = {{ {values} }} }}',
        f"value = {quoted(path)}",
    ]


def _spelling(numbers: Sequence[Spelled]) -> list[str]:
    """The keys that numbers in text need."""
    return [
        *(["leading_number = true"] if any(each.unit for each in numbers) else []),
        *(["decimal_comma = true"] if any(each.has_comma for each in numbers) else []),
    ]


def _observation(kind: str, leaf: Leaf, told: Meaning) -> list[str]:
    return [
        "",
        f"[[{kind}.observation]]",
        f"property = {quoted(told.observed_property)}",
        f"value = {quoted(leaf.path)}",
        *([f"unit = {quoted(told.unit)}"] if told.unit is not None else []),
        *(_spelling([leaf.number]) if leaf.number is not None else []),
    ]


def _stand_in(kind: str, numbers: Sequence[Leaf]) -> list[str]:
    """An observation where nothing is certain, so that the proposal loads: to be named by a person."""
    path = numbers[0].path if numbers else "value"
    return [
        "",
        "# To be completed, or replaced by some of those below.",
        f"[[{kind}.observation]]",
        'property = "unnamed"  # what is it?',
        f"value = {quoted(path)}",
        'unit = "1"  # and in which unit?',
        *(_spelling([first]) if numbers and (first := numbers[0].number) is not None else []),
    ]


def _comments(
    kind: str, numbers: Sequence[Leaf], certain: Mapping[Leaf, Meaning], known: Mapping[Leaf, Meaning]
) -> list[str]:
    """The other numbers, one block of comment each."""
    lines: list[str] = []
    for leaf in numbers:
        if leaf in certain:
            continue
        guess = known.get(leaf)
        lines += [
            "",
            f"# It was {shown(leaf.value)}.",
            f"# [[{kind}.observation]]",
            f"# property = {quoted(guess.observed_property if guess is not None else '')}",
            f"# value = {quoted(leaf.path)}",
            f"# unit = {quoted((guess.unit if guess is not None else None) or '')}",
            *(f"# {line}" for line in (_spelling([leaf.number]) if leaf.number is not None else ())),
        ]
    if lines:
        names = ", ".join(CANONICAL_UNITS)
        lines = ["", "# Other numbers of the message. Properties there are: " + names, *lines]
    return lines
