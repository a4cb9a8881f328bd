"""Topic patterns with named parts: `N/{portal}/{service}/{instance}/{rest...}`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingest.mapping.patterns import LONGEST_TEXT, compile_pattern

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MOST_LEVELS = 64


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """A pattern of topics. `names` are its parts in order; `weight` grows with how much it fixes, level by level."""

    text: str
    names: tuple[str, ...]
    weight: tuple[int, ...]
    expression: re.Pattern[str]

    def match(self, levels: Sequence[str]) -> Mapping[str, str] | None:
        """The named parts of a topic; None if it does not fit."""
        topic = "/".join(levels)
        found = self.expression.fullmatch(topic) if len(topic) <= LONGEST_TEXT else None
        return None if found is None else found.groupdict()


def parse_topic(text: str) -> TopicPattern:
    """Read a pattern. Raises ValueError saying what is wrong.

    >>> parse_topic("N/{portal}/{rest...}").match(["N", "c06", "Ac", "Power"])
    {'portal': 'c06', 'rest': 'Ac/Power'}
    """
    if not text:
        raise ValueError("the topic is empty")
    levels = _split(text)
    if len(levels) > _MOST_LEVELS:
        raise ValueError(f"{len(levels)} levels; {_MOST_LEVELS} at most")
    names: list[str] = []
    pieces: list[str] = []
    weight: list[int] = []
    for at, level in enumerate(levels):
        expression, fixed = _level(level, names, last=at == len(levels) - 1)
        if level == "#" and at:  # stands for its parent too
            pieces[-1] += expression
        else:
            pieces.append(expression)
        weight.append(fixed)
    return TopicPattern(text, tuple(names), tuple(weight), re.compile("/".join(pieces), re.DOTALL))


def parse_filter(text: str) -> tuple[str, ...]:
    """The levels of an MQTT topic filter. Raises ValueError (MQTT 5, 4.7.1)."""
    levels = tuple(text.split("/"))
    if not text or "\x00" in text:
        raise ValueError("a topic filter needs at least one character, and none of them NUL")
    for at, level in enumerate(levels):
        if ("#" in level and (level != "#" or at != len(levels) - 1)) or ("+" in level and level != "+"):
            raise ValueError(f"{text!r} is no topic filter: + and # stand for whole levels, # for the last one only")
        if "{" in level:
            raise ValueError(
                f"{text!r}: a source claims topics by MQTT filters (+ and #); named parts are for mappings"
            )
    return levels


def filter_weight(levels: Sequence[str]) -> tuple[int, ...]:
    """How much an MQTT filter fixes, level by level; see `TopicPattern.weight`."""
    return tuple(0 if level == "#" else 1 if level == "+" else 3 for level in levels)


def _split(text: str) -> list[str]:
    """The levels: slashes inside braces do not count, so that a regular expression may hold one."""
    levels, depth, start = [], 0, 0
    for at, character in enumerate(text):
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth < 0:
                raise ValueError(f"}} without {{ at column {at + 1} of {text!r}")
        elif character == "/" and depth == 0:
            levels.append(text[start:at])
            start = at + 1
    if depth:
        raise ValueError(f"{{ without }} in {text!r}")
    return [*levels, text[start:]]


def _level(level: str, names: list[str], *, last: bool) -> tuple[str, int]:
    """The expression of one level and its weight: 3 fixed text, 2 partly fixed, 1 any text, 0 any number of levels."""
    if level == "#":
        if not last:
            raise ValueError("# stands for the last levels only")
        return r"(?:/.*)?", 0
    if level == "+":
        return "[^/]*", 1
    if "{" not in level:
        if "+" in level or "#" in level:
            raise ValueError(f"level {level!r}: + and # stand for whole levels")
        return re.escape(level), 3
    if level.startswith("{") and level.endswith("...}") and level.count("{") == 1:
        if not last:
            raise ValueError(f"{level} stands for the last levels only")
        return f"(?P<{_named(level[1:-4], names)}>.+)", 0
    return _mixed(level, names)


def _mixed(level: str, names: list[str]) -> tuple[str, int]:
    pieces: list[str] = []
    at, parts, plain = 0, 0, True
    while at < len(level):
        if level[at] != "{":
            end = level.find("{", at)
            end = len(level) if end < 0 else end
            pieces.append(re.escape(level[at:end]))
            at = end
            continue
        end = _closing(level, at)
        name, colon, expression = level[at + 1 : end].partition(":")
        if pieces and pieces[-1].startswith("(?P") and not colon:
            raise ValueError(f"level {level!r}: text has to stand between two named parts")
        if colon:
            compiled = compile_pattern(expression)
            if compiled.longest < LONGEST_TEXT:
                raise ValueError(f"{{{name}:...}} can take too long; say which characters are repeated")
            if compiled.expression.groups:
                raise ValueError(f"{{{name}:...}}: write groups as (?:...)")
            plain = False
        pieces.append(f"(?P<{_named(name, names)}>{expression if colon else '[^/]+'})")
        parts += 1
        at = end + 1
    only_part = len(pieces) == 1 and parts == 1
    return "".join(pieces), 1 if only_part and plain else 2


def _closing(level: str, start: int) -> int:
    depth = 0
    for at in range(start, len(level)):
        depth += {"{": 1, "}": -1}.get(level[at], 0)
        if depth == 0:
            return at
    raise ValueError(f"{{ without }} in {level!r}")


def _named(name: str, names: list[str]) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{{{name}}}: a part is named with lower-case letters, digits and _, beginning with a letter")
    if name in names:
        raise ValueError(f"{{{name}}} stands twice")
    names.append(name)
    return name
