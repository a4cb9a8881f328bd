"""Paths into a message: JMESPath, with the records around it in reach and plain keys spared their quotes.

- `a.b[0].c`, `"PM2.5"`, `list[?kind=='main'].value | [0]`, `sum([a, b])`: JMESPath (jmespath.org).
- `^.time` begins in the record that holds the list being gone through, `^^.time` one further out, `$.time` in the
  whole message.
- A key of letters, digits, spaces and `_ - / : % # + °`, beginning with a letter, needs no quotes:
  `Active Energy Import T1.value`. A key with a dot or brackets, or beginning with a digit, is quoted: `"1-0:1.8.0"`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jmespath
from jmespath import exceptions, functions

from pulso.errors import DecodeError, RejectReason

_LONGEST = 500
_START = re.compile(r"(\$|\^+)")
_PLAIN = re.compile(r"[^\W\d][\w \-/:%#+°]*(?:\.[^\W\d][\w \-/:%#+°]*)*")
_FUNCTIONS = frozenset(functions.Functions.FUNCTION_TABLE)


class _Missing:
    """What a path finds where the message has no such key."""

    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path. `up` counts the records outwards, -1 stands for the whole message.

    `keys` are the steps of a path of plain keys and indexes, quick to follow, as most are; `expression` is None then.
    """

    text: str
    up: int
    keys: tuple[str | int, ...]
    expression: Any = None

    def find(self, value: object) -> object:
        """What stands there; MISSING if a key is not there (for an expression: if it gives null).

        Raises DecodeError (wrong_shape) where an expression cannot be evaluated on this message.
        """
        if self.expression is not None:
            return self._evaluate(value)
        for key in self.keys:
            if isinstance(key, str):
                if not isinstance(value, dict):
                    return MISSING
                value = value.get(key, MISSING)
            elif isinstance(value, list) and -len(value) <= key < len(value):
                value = value[key]
            else:
                return MISSING
        return value

    def _evaluate(self, value: object) -> object:
        try:
            found = self.expression.search(value)
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            detail = f"path {self.text!r}: {_first_line(error)}"[:300]
            raise DecodeError(RejectReason.WRONG_SHAPE, detail) from None
        return MISSING if found is None else found

    @property
    def around(self) -> "Path | None":
        """The path of what holds the thing at the end of this one; None if that is the record itself, or not plain."""
        return Path(self.text, 0, self.keys[:-1]) if self.up == 0 and len(self.keys) > 1 else None

    @property
    def names(self) -> tuple[str, ...]:
        """The keys it mentions, those of an expression too."""
        if self.expression is None:
            return tuple(key for key in self.keys if isinstance(key, str))
        return tuple(_fields(self.expression.parsed))


def parse_path(text: str) -> Path:
    """Compile a path. Raises ValueError saying where it is wrong."""
    if len(text) > _LONGEST:
        raise ValueError(f"a path of {len(text)} characters; {_LONGEST} at most")
    start = _START.match(text)
    prefix = start[1] if start else ""
    up = -1 if prefix == "$" else len(prefix)
    rest = text[len(prefix) :].strip()
    if prefix and rest.startswith("."):
        rest = rest[1:].lstrip()
        if not rest:
            raise ValueError(f"{text!r} ends with a dot")
    elif prefix and rest and rest[0] not in "[|":
        raise ValueError(f"{text!r}: write a dot after {prefix}, as in {prefix}.{rest}")
    if not rest:
        if not prefix:
            raise ValueError("the path is empty; @ stands for the record itself")
        return Path(text, up, ())
    return _compiled(text, up, rest)


def _compiled(text: str, up: int, rest: str) -> Path:
    try:
        expression = jmespath.compile(rest)
    except exceptions.JMESPathError as error:
        if _PLAIN.fullmatch(rest):
            return Path(text, up, tuple(rest.split(".")))
        raise ValueError(_refusal(text, rest, error)) from None
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{text!r} is not a path: {_first_line(error)}") from None
    for name in _called(expression.parsed):
        if name not in _FUNCTIONS:
            hint = f"a key with brackets is quoted: '\"{rest}\"'"
            raise ValueError(f"{text!r}: JMESPath has no function {name!r}; {hint}")
    steps = _steps(expression.parsed)
    return Path(text, up, ()) if rest == "@" else Path(text, up, steps or (), None if steps else expression)


def _steps(node: Mapping[str, Any]) -> tuple[str | int, ...] | None:
    """The keys and indexes of a plain path; None for anything more."""
    kind = node["type"]
    if kind in ("field", "index"):
        return (node["value"],)
    if kind in ("subexpression", "index_expression"):
        steps = [_steps(child) for child in node["children"] if child["type"] != "identity"]
        return None if None in steps else tuple(step for each in steps if each for step in each)
    return None


def _nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, dict) and "type" in node:
        yield node
        for child in node.get("children", ()):
            yield from _nodes(child)


def _called(tree: Any) -> Iterator[str]:
    return (node["value"] for node in _nodes(tree) if node["type"] == "function_expression")


def _fields(tree: Any) -> Iterator[str]:
    return (node["value"] for node in _nodes(tree) if node["type"] == "field")


def _refusal(text: str, rest: str, error: exceptions.JMESPathError) -> str:
    position = getattr(error, "lex_position", None)
    where = "" if not isinstance(position, int) else f" at column {position + 1 + len(text) - len(rest)}"
    key = rest if len(rest) < 40 and '"' not in rest else "PM2.5"
    hint = "a key with dots or brackets, or one that begins with a digit, is quoted: "
    return f"{text!r} is not a path{where}; {hint}" + f"'\"{key}\"'"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
