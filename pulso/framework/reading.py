"""Reads the framework from the tables beside this module, and checks it."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from pulso.errors import ConfigurationError
from pulso.framework.catalogue import Framework
from pulso.framework.checks import faults_of
from pulso.framework.model import (
    Category,
    Dimension,
    Entry,
    Feed,
    Kpi,
    LiveIndicator,
    Objective,
    PriorityArea,
    Source,
    SubDimension,
    Theme,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILES: Mapping[str, Mapping[str, type[Entry]]] = MappingProxyType(
    {
        "structure.toml": {"dimension": Dimension, "sub_dimension": SubDimension, "category": Category},
        "themes.toml": {"theme": Theme},
        "priority_areas.toml": {"area": PriorityArea, "objective": Objective},
        "sources.toml": {"source": Source},
        "kpis_economy.toml": {"kpi": Kpi},
        "kpis_environment.toml": {"kpi": Kpi},
        "kpis_society.toml": {"kpi": Kpi},
        "live_indicators.toml": {"indicator": LiveIndicator},
        "feeds.toml": {"feed": Feed},
    }
)
"""The files, and what the tables of each are."""

EntryType = TypeVar("EntryType", bound=Entry)


@cache
def framework() -> Framework:
    """The framework of this installation, read once."""
    return read_framework(files("pulso.framework"))


def read_framework(directory: Traversable) -> Framework:
    """The framework of the files in `directory`. Raises ConfigurationError that names every fault."""
    faults: list[str] = []
    found: dict[str, list[Entry]] = {}
    for name, kinds in FILES.items():
        document = _document(directory / name, faults)
        for kind, model in kinds.items():
            found.setdefault(kind, []).extend(_entries(name, kind, model, document.pop(kind, []), faults))
        faults += [f"{name}: no place for {key!r}" for key in document]
    if faults:
        raise ConfigurationError("the indicator framework cannot be read:", faults=faults)
    result = Framework(
        dimensions=_all(Dimension, found["dimension"]),
        sub_dimensions=_all(SubDimension, found["sub_dimension"]),
        categories=_all(Category, found["category"]),
        themes=_all(Theme, found["theme"]),
        areas=_all(PriorityArea, found["area"]),
        objectives=_all(Objective, found["objective"]),
        sources=_all(Source, found["source"]),
        kpis=_all(Kpi, found["kpi"]),
        indicators=_all(LiveIndicator, found["indicator"]),
        feeds=_all(Feed, found["feed"]),
    )
    if faults := faults_of(result):
        raise ConfigurationError("the indicator framework contradicts itself:", faults=faults)
    return result


def _all(model: type[EntryType], entries: list[Entry]) -> tuple[EntryType, ...]:
    return tuple(entry for entry in entries if isinstance(entry, model))


def _document(file: Traversable, faults: list[str]) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        faults.append(f"{file.name}: {error}")
        return {}


def _entries(name: str, kind: str, model: type[Entry], tables: object, faults: list[str]) -> list[Entry]:
    if not isinstance(tables, list):
        faults.append(f"{name}: {kind!r} has to be a list of tables, [[{kind}]]")
        return []
    entries = []
    for number, table in enumerate(tables, 1):
        try:
            entries.append(model.model_validate(table))
        except ValidationError as error:
            faults += [f"{name}, [[{kind}]] {number}{_called(table)}: {_fault(each)}" for each in error.errors()]
    return entries


def _called(table: object) -> str:
    name = (
        next((table[key] for key in ("code", "id", "kpi") if key in table), None) if isinstance(table, dict) else None
    )
    return "" if name is None else f" ({name})"


def _fault(error: "ErrorDetails") -> str:
    where = ".".join(map(str, error["loc"]))
    return f"{where}: {error['msg']}" if where else error["msg"]
