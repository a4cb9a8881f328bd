"""Loading of the mapping language: files and documents to a book of devices, with every fault named by its line."""

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ingest.mapping.book import DeviceBook, Source
from ingest.mapping.check import Fault, Known, Location, mapping_faults, profile_faults, source_faults
from ingest.mapping.mappings import DeviceMapping
from ingest.mapping.profiles import Profile
from ingest.mapping.tables import MappingTable, Observation, ProfileTable, SourceTable, Table
from ingest.mapping.topics import filter_weight
from pulso.errors import ConfigurationError

AnyTable = TypeVar("AnyTable", bound=Table)

KINDS: Mapping[str, type[Table]] = MappingProxyType(
    {"source": SourceTable, "profile": ProfileTable, "mapping": MappingTable}
)
NO_DOCUMENTS: Mapping[str, str] = MappingProxyType({})

_LONGEST_DOCUMENT = 1 << 20
_REMEMBERED_DOCUMENT = 1 << 16  # characters; what the cache holds stays within a few megabytes
_MOST_FAULTS = 100
_HEADER = re.compile(r"\s*\[{1,2}\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_INSTEAD = MappingProxyType(
    {
        "Field required": "is needed",
        "Extra inputs are not permitted": "unknown key",
    }
)


def library_path() -> Path:
    """The directory of the device profiles that come with the product."""
    return Path(str(files("ingest") / "profiles"))


def load_devices(
    paths: Sequence[Path],
    documents: Mapping[str, str] = NO_DOCUMENTS,
    *,
    zones: Collection[str] | None = None,
    library: bool = True,
) -> DeviceBook:
    """The book of the library, then `paths` (files, or directories of *.toml), then `documents` (text by name).

    What comes later goes first: a table replaces one of the same kind and name, and is asked before all earlier ones.
    `zones` are the zones that may be named, if known. Raises ConfigurationError with all faults, each as
    `file:line: table key: reason`.
    """
    faults: list[str] = []
    layers = [*([library_path()] if library else []), *paths]
    loader = _Loader(faults, frozenset(zones) if zones is not None else None)
    for layer, path in enumerate(layers):
        loader.add_layer(layer, _texts_of(path, faults))
    for layer, (name, text) in enumerate(documents.items(), start=len(layers)):
        loader.add_layer(layer, [(name, text)])
    book = loader.book()
    if faults:
        left_out = len(faults) - _MOST_FAULTS
        shown = [*faults[:_MOST_FAULTS], *([f"and {left_out} more"] if left_out > 0 else [])]
        raise ConfigurationError("the device mappings are not usable:", faults=shown)
    return book


def _texts_of(path: Path, faults: list[str]) -> Iterator[tuple[str, str]]:
    if not path.suffix and not path.exists():
        return  # a city pack without mappings
    try:
        for file in sorted(path.glob("*.toml")) if path.is_dir() else [path]:
            if file.stat().st_size > _LONGEST_DOCUMENT:
                faults.append(f"{file}:1: larger than {_LONGEST_DOCUMENT} bytes")
                continue
            yield str(file), file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        faults.append(f"{path}:1: not UTF-8 text: {error.reason}")
    except OSError as error:
        faults.append(f"{path}:1: {error.strerror}")


@dataclass(frozen=True)
class _Text:
    """One file, with the lines of its tables and keys."""

    name: str
    text: str

    @cached_property
    def lines(self) -> Mapping[Location, int]:
        """Line numbers by location: tables by their place, keys below them."""
        found: dict[Location, int] = {}
        counts: dict[Location, int] = {}
        here: Location = ()
        quote = ""
        for number, line in enumerate(self.text.splitlines(), start=1):
            if quote:  # inside a text of several lines
                quote = "" if quote in line else quote
                continue
            if (header := _HEADER.match(line)) is not None and not _KEY.match(line):
                here = self._place(_key_parts(header[1]), counts, array=line.lstrip().startswith("[["))
                found.setdefault(here, number)
            elif (key := _KEY.match(line)) is not None:
                parts = _key_parts(key[1])
                for length in range(1, len(parts) + 1):
                    found.setdefault((*here, *parts[:length]), number)
            quote = next((mark for mark in ('"""', "'''") if line.count(mark) % 2), "")
        return found

    @staticmethod
    def _place(names: tuple[str, ...], counts: dict[Location, int], *, array: bool) -> Location:
        place: Location = ()
        for at, name in enumerate(names):
            place = (*place, name)
            is_last = at == len(names) - 1
            if array and is_last:
                counts[place] = counts.get(place, -1) + 1
                for inner in [each for each in counts if len(each) > len(place) and each[: len(place)] == place]:
                    if inner[len(place) : len(place) + 1] == (counts[place],):
                        del counts[inner]
                place = (*place, counts[place])
            elif place in counts:
                place = (*place, counts[place])
        return place

    def where(self, location: Location) -> str:
        """`file:line` of the narrowest table or key that is found."""
        for length in range(len(location), 0, -1):
            line = self.lines.get(location[:length])
            if line is not None:
                return f"{self.name}:{line}"
        return f"{self.name}:1"


def _key_parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _KEY_PART.findall(text))


@dataclass(frozen=True, slots=True)
class _Written:
    """One table as it is written, and where."""

    text: _Text
    kind: str
    number: int
    document: Mapping[str, Any]

    @property
    def title(self) -> str:
        name = self.document.get("name")
        return f"{self.kind} {name!r}" if isinstance(name, str) else f"{self.kind} number {self.number + 1}"

    def where(self, location: Location) -> str:
        return self.text.where((self.kind, self.number, *location))

    def fault(self, location: Location, reason: str) -> str:
        key = ".".join(str(part + 1) if isinstance(part, int) else part for part in location)
        return f"{self.where(location)}: {self.title}{' ' + key if key else ''}: {reason}"


_Tables = tuple[tuple[_Written, Table], ...]


def _read(name: str, content: str) -> tuple[_Tables, tuple[str, ...]]:
    """The tables of a text, and what is wrong with it."""
    text = _Text(name, content)
    try:
        document = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        return (), (_syntax_fault(name, error),)
    except RecursionError:
        return (), (f"{name}:1: nested too deeply",)
    tables: list[tuple[_Written, Table]] = []
    faults: list[str] = []
    for key in document.keys() - KINDS.keys():
        close = get_close_matches(key, KINDS, 1)
        hint = f"; did you mean [[{close[0]}]]?" if close else ""
        here = text.where((key,))
        faults.append(f"{here}: {key}: a file holds [[source]], [[profile]] and [[mapping]]{hint}")
    for kind, model in KINDS.items():
        rows = document.get(kind, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            faults.append(f"{text.where((kind,))}: {kind}: write [[{kind}]], with two brackets")
            continue
        for number, row in enumerate(rows):
            written = _Written(text, kind, number, row)
            try:
                tables.append((written, model.model_validate(row)))
            except ValidationError as error:
                found = _readable(error, model, row)
                faults += [written.fault(location, reason) for location, reason in found]
    return tuple(tables), tuple(faults)


_read_remembered = lru_cache(maxsize=64)(_read)
"""The same, remembered: the library and a city's files are read again for every dry run."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One table as it is written, and compiled; `layer` is that of its text."""

    layer: int
    written: _Written
    table: Any


@dataclass
class _Loader:
    """Collects tables layer by layer, and every fault."""

    faults: list[str]
    zones: frozenset[str] | None
    entries: dict[str, dict[str, _Entry]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    def add_layer(self, layer: int, texts: Iterable[tuple[str, str]]) -> None:
        """Read the files of one layer; a name may stand once in it."""
        for name, content in texts:
            read = _read_remembered if len(content) <= _REMEMBERED_DOCUMENT else _read
            tables, faults = read(name, content)
            self.faults += faults
            for written, table in tables:
                self._add_table(layer, written, table)

    def _add_table(self, layer: int, written: _Written, table: Table) -> None:
        name: str = table.name  # type: ignore[attr-defined]  # every kind has one
        earlier = self.entries[written.kind].get(name)
        if earlier is not None and earlier.layer == layer:
            self._fault(written, ("name",), f"{name!r} is taken already, at {earlier.written.where(())}")
            return
        self.entries[written.kind][name] = _Entry(layer, written, table)

    def _fault(self, written: _Written, location: Location, reason: str) -> None:
        self.faults.append(written.fault(location, reason))

    def book(self) -> DeviceBook:
        """Check what refers to each other, and compile."""
        self._find_unreachable_profiles()
        self._inherit()
        known = Known({name: entry.table for name, entry in self.entries["profile"].items()}, self.zones)
        for kind, check in (("source", source_faults), ("profile", profile_faults), ("mapping", mapping_faults)):
            for entry in self.entries[kind].values():
                found: Iterator[Fault] = check(entry.table, known)
                for location, reason in found:
                    self._fault(entry.written, location, reason)
        if self.faults:
            return DeviceBook.empty()
        profiles = {name: Profile.of(entry.table, entry.layer) for name, entry in self.entries["profile"].items()}
        return DeviceBook(self._claims(), self._readers(profiles), self._latest_first(profiles))

    def _latest_first(self, profiles: Mapping[str, Profile]) -> tuple[Profile, ...]:
        return tuple(sorted(profiles.values(), key=lambda profile: -profile.layer))

    def _claims(self) -> tuple[tuple[tuple[str, ...], Source], ...]:
        claims = [
            (entry.layer, filter_weight(topic_filter), topic_filter, _source(entry.table))
            for entry in self.entries["source"].values()
            for topic_filter in entry.table.topics
        ]
        claims.sort(key=lambda claim: claim[:2], reverse=True)
        return tuple((topic_filter, source) for _, _, topic_filter, source in claims)

    def _readers(self, profiles: Mapping[str, Profile]) -> tuple[DeviceMapping, ...]:
        entries = sorted(
            self.entries["mapping"].values(),
            key=lambda entry: (entry.layer, entry.table.topic.weight, entry.table.when is not None),
            reverse=True,
        )
        return tuple(
            DeviceMapping.of(entry.table, entry.written.document, profiles.get(entry.table.profile or ""))
            for entry in entries
        )

    def _find_unreachable_profiles(self) -> None:
        """A profile that nothing leads to would never be asked, and its author would wonder why."""
        named = {entry.table.profile for kind in ("source", "mapping") for entry in self.entries[kind].values()}
        named |= {entry.table.like for entry in self.entries["profile"].values()}
        for name, entry in self.entries["profile"].items():
            match = entry.table.match
            if not (match.models or match.devices or match.fields or name in named):
                reason = "nothing tells which devices it is for: match.models, match.devices or match.fields"
                self._fault(entry.written, (), f"{reason}; or name it in a [[source]] or [[mapping]]")

    def _inherit(self) -> None:
        """Let profiles take over what they are `like`."""
        profiles = self.entries["profile"]
        for name in list(profiles):
            chain: list[str] = []
            self._take_over(name, chain)

    def _take_over(self, name: str, chain: list[str]) -> ProfileTable:
        entry = self.entries["profile"][name]
        table: ProfileTable = entry.table
        if table.like is None:
            return table
        chain.append(name)
        if table.like in chain or table.like not in self.entries["profile"]:
            known = ", ".join(sorted(self.entries["profile"]))
            unknown = f"no profile {table.like!r}. Known: {known}"
            self._fault(entry.written, ("like",), "it comes back to itself" if table.like in chain else unknown)
            merged = table.model_copy(update={"like": None})
        else:
            merged = _merged(self._take_over(table.like, chain), table)
        self.entries["profile"][name] = _Entry(entry.layer, entry.written, merged)
        return merged


def _merged(base: ProfileTable, table: ProfileTable) -> ProfileTable:
    """What `table` says, and for the rest what `base` says; of a property it observes itself, only its own."""
    own = {observation.property.fixed for observation in table.observation}
    kept: tuple[Observation, ...] = tuple(each for each in base.observation if each.property.fixed not in own)
    return table.model_copy(
        update={
            "like": None,
            "family": table.family or base.family,
            "time": table.time or base.time,
            "ignore": (*base.ignore, *table.ignore),
            "drop": (*base.drop, *table.drop),
            "observation": (*table.observation, *kept),
        }
    )


def _source(table: SourceTable) -> Source:
    return Source(
        table.name,
        table.topics,
        table.decoder,
        table.timezone,
        table.family,
        table.zone,
        table.profile,
        table.drop,
    )


# --- faults in words -------------------------------------------------------------------------------------------------


def _syntax_fault(name: str, error: tomllib.TOMLDecodeError) -> str:
    found = re.fullmatch(r"(.*?) ?\(at (?:line (\d+), column (\d+)|end of document)\)", str(error))
    if found is None:
        return f"{name}:1: not TOML: {error}"
    where = f" at column {found[3]}" if found[3] else " at the end"
    return f"{name}:{found[2] or 1}: not TOML: {found[1]}{where}"


def _readable(error: ValidationError, model: type[BaseModel], document: Mapping[str, Any]) -> Iterator[Fault]:
    for fault in error.errors(include_url=False):
        location = tuple(fault["loc"])
        reason = _INSTEAD.get(fault["msg"], fault["msg"].removeprefix("Value error, "))
        if fault["type"] == "extra_forbidden":
            keys = _keys_at(model, location[:-1])
            close = get_close_matches(str(location[-1]), keys, 1)
            reason += f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(keys)}"
        elif fault["type"] == "tuple_type":
            reason = "a list is needed" if location[-1] != "observation" else "write [[...]], with two brackets"
        yield _as_written(location, document), reason


def _as_written(location: Location, document: object) -> Location:
    """A location without the keys that a short form stands for: `value = "a.b"` has no key `path`."""
    for at, part in enumerate(location):
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            return location[:at]
    return location


def _keys_at(model: type[BaseModel], location: Location) -> list[str]:
    """The keys of the table at a location."""
    here: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        annotation = here.model_fields[part].annotation if part in getattr(here, "model_fields", {}) else None
        here = _table_in(annotation)
        if here is None:
            return []
    return [info.alias or name for name, info in here.model_fields.items()]


def _table_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(
        (found for argument in getattr(annotation, "__args__", ()) if (found := _table_in(argument)) is not None), None
    )
