"""How messages spell units: the table `unit_spellings.toml`, and how a text is looked up in it."""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

LONGEST = 64
"""Characters of a unit that are looked at."""

_SIGNS = str.maketrans(
    {"μ": "u", "−": "-", "–": "-", "⋅": ".", "·": ".", "∙": ".", "•": ".", "×": ".", "*": ".", "^": None}
)
_DEGREES = str.maketrans("º˚", "°°")  # the ordinal sign and the ring above, which NFKC would change
_ANNOTATION = re.compile(r"\{[^{}]*\}")
_VOCABULARY_PREFIX = re.compile(r"(?:https?://\S*[/#]|(?:qudt-)?unit:|ucum:|qudt:)(?=[^/#:\s]+\Z)")


class Route(NamedTuple):
    """Into which unit of a property a kind of quantity goes; `only` in these spellings, if not None."""

    unit: str
    only: frozenset[str] | None = None


@dataclass(frozen=True)
class Spellings:
    """The table of units: `exact` and, with letters of any case, `folded` spellings to codes; kinds and pint's names.

    A folded spelling that two units share stands for neither (None): mw is no MW and no mW.
    """

    exact: Mapping[str, str]
    folded: Mapping[str, str | None]
    kinds: Mapping[str, str]
    pint: Mapping[str, str]
    admits: Mapping[str, Mapping[str, Route]]


@cache
def spellings() -> Spellings:
    """The table, read once."""
    document = tomllib.loads((files("pulso") / "unit_spellings.toml").read_text(encoding="utf-8"))
    admits: dict[str, dict[str, Route]] = {}
    for table in document.pop("admits"):
        only = frozenset(map(one_form, table["only"])) if "only" in table else None
        for stem in table["properties"]:
            admits.setdefault(stem, {})[table["kind"]] = Route(table["unit"], only)
    exact: dict[str, str] = {}
    folded: dict[str, str | None] = {}
    kinds: dict[str, str] = {}
    pint: dict[str, str] = {}
    for kind, units in document.items():
        for code, unit in units.items():
            kinds[code] = kind
            if "pint" in unit:
                pint[code] = unit["pint"]
            for text in (code, *unit["spellings"]):
                exact[one_form(text)] = code
                key = _folded(text)
                folded[key] = code if folded.get(key, code) == code else None
            exact.update(dict.fromkeys(unit.get("cefact", ()), code))
    return Spellings(exact, folded, kinds, pint, admits)


def one_form(text: str) -> str:
    """`text` with one sign for each thing: u for micro, plain digits for exponents, a dot between factors."""
    signs = unicodedata.normalize("NFKC", text.strip().translate(_DEGREES)).translate(_SIGNS)
    annotated = _ANNOTATION.sub("", signs)
    if annotated != signs and not annotated:
        return "1"  # UCUM: an annotation alone, as {vehicles}, is unity
    return _VOCABULARY_PREFIX.sub("", annotated)


def _folded(text: str) -> str:
    """`text` without case, accents, blanks and underscores."""
    plain = unicodedata.normalize("NFD", one_form(text).casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter) and letter not in " _")


def code_of(form: str) -> str | None:
    """The code of a spelling in its `one_form`: as it stands, or else with letters of any case; None if not known."""
    table = spellings()
    exact = table.exact.get(form)
    if exact is not None or len(form) < 2:  # of single letters each case means another thing
        return exact
    return table.folded.get(_folded(form))
