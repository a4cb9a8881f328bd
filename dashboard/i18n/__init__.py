"""Texts of the screens: one TOML file per language, the same keys in each."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

from babel.numbers import format_decimal

DEFAULT_LANGUAGE = "es"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The texts of one language, by dotted key; `locale` is its BCP 47 tag."""

    language: str
    locale: str
    texts: Mapping[str, str]

    def text(self, key: str, **values: object) -> str:
        """The text of `key` with `{name}` replaced by `values`."""
        return self.texts[key].format(**values)

    def number(self, value: float, decimals: int) -> str:
        """`value` as people of this locale write it."""
        pattern = "#,##0" + ("." + "0" * decimals if decimals else "")
        return format_decimal(value, format=pattern, locale=self.locale.replace("-", "_"))


@dataclass(frozen=True, slots=True)
class Catalogues:
    """All languages; asks for an unknown one are answered in the default."""

    by_language: Mapping[str, Catalogue]

    def get(self, language: str | None) -> Catalogue:
        """The catalogue of `language`, or of the default language where there is none."""
        return self.by_language.get(language or DEFAULT_LANGUAGE) or self.by_language[DEFAULT_LANGUAGE]


def load_catalogues() -> Catalogues:
    """Read every language that ships."""
    found = {}
    for file in (files("dashboard") / "i18n").iterdir():
        language, dot, suffix = file.name.partition(".")
        if dot and suffix == "toml":
            texts = dict(_flatten(tomllib.loads(file.read_text(encoding="utf-8"))))
            found[language] = Catalogue(language, texts.pop("locale"), MappingProxyType(texts))
    return Catalogues(MappingProxyType(found))


def _flatten(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
