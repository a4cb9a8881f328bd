"""Regular expressions that a mapping may hold: those that cannot keep a worker busy, whatever the text.

Python's engine tries one way after the other, and some expressions have exponentially many: `(a+)+b` on a row of
letters holds a worker for hours. So an expression is looked at before it is admitted:

- What is repeated has to have one way to match: a repeat of varying length inside a repeat is refused.
- A repeat is ambiguous if what follows it can begin with what it repeats while a further repeat is still to come: each
  one multiplies the ways by the length of the text. With one the text that is looked at is shorter, more are refused.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

LONGEST_TEXT = 1024
"""Characters of a text that an expression without ambiguous repeats looks at; a longer text is no match."""

_LONGEST_BY_AMBIGUITY = (LONGEST_TEXT, 128)
_MOST_FORKS = 6  # ambiguous options and alternatives: each one doubles the ways
_LONGEST_PATTERN = 500
_BEYOND_ASCII = ("\u0663", "\u2003", "\u00e4", "\u20ac")  # a digit, a space, a letter and a sign: kinds of all others
_ALPHABET = frozenset([*map(chr, range(128)), *_BEYOND_ASCII])

_parser: Any = import_module("re._parser")  # the tree of an expression; there is no public way to it
_constants: Any = import_module("re._constants")

_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)
_ASSERTS = (_constants.ASSERT, _constants.ASSERT_NOT)
_CLASSES = {
    _constants.CATEGORY_DIGIT: r"\d",
    _constants.CATEGORY_NOT_DIGIT: r"\D",
    _constants.CATEGORY_SPACE: r"\s",
    _constants.CATEGORY_NOT_SPACE: r"\S",
    _constants.CATEGORY_WORD: r"\w",
    _constants.CATEGORY_NOT_WORD: r"\W",
}

Node = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Pattern:
    """An admitted expression, and the length of the texts it looks at."""

    expression: re.Pattern[str]
    longest: int

    def search(self, text: str) -> re.Match[str] | None:
        """The first match; None also in a text that is too long."""
        return self.expression.search(text) if len(text) <= self.longest else None


def compile_pattern(text: str) -> Pattern:
    """Compile an expression. Raises ValueError, saying where it is wrong or why it is refused."""
    if len(text) > _LONGEST_PATTERN:
        raise ValueError(f"a regular expression of {len(text)} characters; {_LONGEST_PATTERN} at most")
    try:
        expression = re.compile(text)
        ways = _Ways(bool(expression.flags & re.IGNORECASE))
        ways.weigh(list(_parser.parse(text)), frozenset(), more=False, in_loop=False)
    except re.error as error:
        where = "" if error.pos is None else f" at column {error.pos + 1}"
        raise ValueError(f"not a regular expression: {error.msg}{where} of {text!r}") from None
    except (RecursionError, OverflowError):
        raise ValueError(f"not a regular expression we can run: {text!r}") from None
    if ways.ambiguous >= len(_LONGEST_BY_AMBIGUITY) or ways.forks > _MOST_FORKS:
        raise ValueError(
            f"{text!r} can take too long: too many repeats that what follows them can begin with. Leave out a leading "
            "and a closing .*, and say which characters are repeated, as in [^,]*,"
        )
    return Pattern(expression, _LONGEST_BY_AMBIGUITY[ways.ambiguous])


@dataclass(slots=True)
class _Ways:
    """How many ways an expression has to go wrong: those that grow with the text, and those that double."""

    ignores_case: bool
    ambiguous: int = 0
    forks: int = 0

    def weigh(self, nodes: Sequence[Node], after: frozenset[str], *, more: bool, in_loop: bool) -> None:
        """Count over a sequence.

        `after` are the characters that what comes next can begin with, `more` says that repeats of varying length are
        among it, `in_loop` that the sequence itself is repeated.
        """
        for (kind, argument), (following, varies) in zip(nodes, _followings(nodes, after), strict=True):
            follows = more or varies
            if kind in _REPEATS:
                self._weigh_repeat(argument, following, more=follows, in_loop=in_loop)
            elif kind is _constants.BRANCH:
                self._weigh_branches([list(branch) for branch in argument[1]], following, more=follows, in_loop=in_loop)
            elif kind in (_constants.GROUPREF, _constants.GROUPREF_EXISTS):
                raise ValueError("references to an earlier group are not supported")
            elif kind is _constants.POSSESSIVE_REPEAT:
                self.weigh(list(argument[2]), following, more=follows, in_loop=False)
            else:
                for inner in _children(kind, argument):
                    self.weigh(inner, following, more=follows, in_loop=in_loop)

    def _weigh_repeat(self, repeat: Any, following: frozenset[str], *, more: bool, in_loop: bool) -> None:
        low, high, body = repeat[0], repeat[1], list(repeat[2])
        if in_loop and low != high:
            raise ValueError(
                "a repeat inside a repeat can take too long; write the inner one possessive: "
                "(?:[0-9]++,)* for (?:[0-9]+,)*"
            )
        if low != high and more and self._meet(_any_of(body), following):
            if high > 1:
                self.ambiguous += 1
            else:
                self.forks += 1
        loops = high > 1
        next_round = following | _first(body, following) if loops else following
        self.weigh(body, next_round, more=more or loops, in_loop=in_loop or loops)

    def _weigh_branches(
        self, branches: list[list[Node]], following: frozenset[str], *, more: bool, in_loop: bool
    ) -> None:
        seen: frozenset[str] = frozenset()
        for branch in branches:
            begins = _first(branch, following)
            if self._meet(begins, seen):
                if in_loop:
                    raise ValueError("alternatives that begin alike, inside a repeat, can take too long")
                self.forks += 1
            seen |= begins
            self.weigh(branch, following, more=more, in_loop=in_loop)

    def _meet(self, some: frozenset[str], others: frozenset[str]) -> bool:
        if self.ignores_case:
            return not {each.lower() for each in some}.isdisjoint(each.lower() for each in others)
        return not some.isdisjoint(others)


def _children(kind: Any, argument: Any) -> Iterator[list[Node]]:
    if kind in _REPEATS or kind is _constants.POSSESSIVE_REPEAT:
        yield list(argument[2])
    elif kind is _constants.SUBPATTERN:
        yield list(argument[3])
    elif kind is _constants.ATOMIC_GROUP:
        yield list(argument)
    elif kind is _constants.BRANCH:
        for branch in argument[1]:
            yield list(branch)
    elif kind in _ASSERTS:
        yield list(argument[1])


def _varies(nodes: Sequence[Node]) -> bool:
    return any(_node_varies(kind, argument) for kind, argument in nodes)


def _node_varies(kind: Any, argument: Any) -> bool:
    of_its_own = kind in _REPEATS and argument[0] != argument[1]
    return of_its_own or any(_varies(inner) for inner in _children(kind, argument))


def _followings(nodes: Sequence[Node], after: frozenset[str]) -> list[tuple[frozenset[str], bool]]:
    """Of each node: the characters that what follows it can begin with, and whether that varies in length.

    Gone through once, from the end: a look ahead from each node would double the work with every optional one.
    """
    followings: list[tuple[frozenset[str], bool]] = []
    varies = False
    for kind, argument in reversed(nodes):
        followings.append((after, varies))
        after = _begins(kind, argument, after)
        varies = varies or _node_varies(kind, argument)
    return followings[::-1]


def _any_of(nodes: Sequence[Node]) -> frozenset[str]:
    """Every character that can stand anywhere in what `nodes` match."""
    found: frozenset[str] = frozenset()
    for kind, argument in nodes:
        inner = list(_children(kind, argument))
        found |= frozenset().union(*map(_any_of, inner)) if inner else _characters(kind, argument)
    return found


def _first(nodes: Sequence[Node], after: frozenset[str]) -> frozenset[str]:
    """The characters that what `nodes` match can begin with; if that can be empty, those of what comes `after` too."""
    for kind, argument in reversed(nodes):
        after = _begins(kind, argument, after)
    return after


def _begins(kind: Any, argument: Any, after: frozenset[str]) -> frozenset[str]:
    """The same of one node."""
    if kind is _constants.AT or kind in _ASSERTS:
        return after
    if kind in _REPEATS or kind is _constants.POSSESSIVE_REPEAT:
        body = _first(list(argument[2]), after)
        return body | after if argument[0] == 0 else body
    inner = list(_children(kind, argument))
    return frozenset().union(*(_first(each, after) for each in inner)) if inner else _characters(kind, argument)


def _characters(kind: Any, argument: Any) -> frozenset[str]:
    """The characters that one element matches, a kind beyond ASCII by its example; all where that is not plain."""
    if kind is _constants.LITERAL:
        return frozenset({_example(argument)})
    if kind is _constants.NOT_LITERAL:
        return _ALPHABET - {chr(argument)}
    if kind is _constants.IN:
        return _set(argument)
    return frozenset() if kind is _constants.AT else _ALPHABET


def _set(items: Sequence[Node]) -> frozenset[str]:
    found: set[str] = set()
    negated = False
    for kind, argument in items:
        if kind is _constants.NEGATE:
            negated = True
        elif kind is _constants.LITERAL:
            found.add(_example(argument))
        elif kind is _constants.RANGE:
            found.update(chr(code) for code in range(argument[0], min(argument[1], 127) + 1))
            found.update(_BEYOND_ASCII if argument[1] > 127 else ())
        else:
            found.update(_of_class(_CLASSES.get(argument, r"[\s\S]")))
    return frozenset((_ALPHABET - found).union(_BEYOND_ASCII)) if negated else frozenset(found)


@cache
def _of_class(shorthand: str) -> frozenset[str]:
    expression = re.compile(shorthand)
    return frozenset(filter(expression.match, _ALPHABET))


def _example(code: int) -> str:
    """A character of the alphabet that stands for this one."""
    character = chr(code)
    if code < 128:
        return character
    digit, space, letter, sign = _BEYOND_ASCII
    return digit if character.isdigit() else space if character.isspace() else letter if character.isalnum() else sign
