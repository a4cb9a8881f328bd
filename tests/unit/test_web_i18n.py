import re
from itertools import chain
from pathlib import Path
from string import Formatter

import pytest

import dashboard
from dashboard.i18n import Catalogue, load_catalogues
from pulso.model import BandState, Family

ROOT = Path(dashboard.__file__).parent
CATALOGUES = load_catalogues().by_language

# Keys whose last part is a value: `state.${...}` in the browser, f"family.{...}" on the server.
COMPOSED = {
    "state.": [*BandState, "none", "plain"],
    "family.": list(Family),
}


def used_keys() -> set[str]:
    sources = chain(ROOT.rglob("*.py"), ROOT.rglob("*.js"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    calls = re.findall(r"(?:\.text|\.say)\(\s*(.*?)[)]", text, re.DOTALL)
    named = {key for call in calls for key in re.findall(r'"([a-z_]+\.[a-z_]+)"', call)}
    composed = {prefix + str(value) for prefix, values in COMPOSED.items() for value in values}
    return named | composed


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_every_key_that_is_used_is_there(language: str) -> None:
    assert used_keys() - CATALOGUES[language].texts.keys() == set()


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_no_key_is_there_that_nobody_uses(language: str) -> None:
    assert CATALOGUES[language].texts.keys() - used_keys() == set()


def test_composed_keys_are_composed_somewhere() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in chain(ROOT.rglob("*.py"), ROOT.rglob("*.js")))
    for prefix in COMPOSED:
        assert re.search(rf"[`\"]{re.escape(prefix)}\$?{{", text), prefix


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    spanish, english = CATALOGUES["es"].texts, CATALOGUES["en"].texts
    assert spanish.keys() == english.keys()
    assert {key: placeholders(text) for key, text in spanish.items()} == {
        key: placeholders(text) for key, text in english.items()
    }


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_spanish_is_the_default_and_unknown_languages_get_it() -> None:
    assert load_catalogues().get(None).language == "es"
    assert load_catalogues().get("tlh").language == "es"
    assert load_catalogues().get("en").language == "en"


@pytest.mark.parametrize(("value", "decimals", "text"), [(1234.5, 1, "1,234.5"), (0.058, 3, "0.058"), (15, 0, "15")])
def test_numbers_are_written_as_in_mexico(value: float, decimals: int, text: str) -> None:
    catalogue: Catalogue = CATALOGUES["es"]
    assert catalogue.number(value, decimals) == text
