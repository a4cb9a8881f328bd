"""Scoring configuration as TOML text: every fault named by its key, every content its own version."""

import hashlib
import json
import tomllib
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pulso.errors import ConfigurationError


class Table(BaseModel):
    """A TOML table: unknown keys and infinite numbers are faults, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the content: any change is another version."""
        return content_version(self.model_dump(mode="json", exclude_defaults=True))


Document = TypeVar("Document", bound=Table)


def content_version(content: object) -> str:
    """Twelve hexadecimal digits of the SHA-256 of JSON-compatible data, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def parse(text: str, model: type[Document], what: str) -> Document:
    """`text` as `model`. Raises ConfigurationError that names every fault as `key[number].key: reason`."""
    try:
        return model.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"the {what} are not TOML:", faults=[str(error)]) from error
    except ValidationError as error:
        faults = [f"{_key(each['loc'])}: {each['msg'].removeprefix('Value error, ')}" for each in error.errors()]
        raise ConfigurationError(f"the {what} are not usable:", faults=faults) from error


def _key(location: tuple[Any, ...]) -> str:
    parts = (f"[{each + 1}]" if isinstance(each, int) else f".{each}" for each in location)
    return "".join(parts).removeprefix(".") or "document"
