"""Where a path looks: the record being read, the records around it, the whole message, and the parts of its topic."""

from collections.abc import Iterator, Mapping, Sequence

from ingest.mapping.paths import MISSING, Path
from ingest.mapping.tables import Each
from ingest.privacy import is_personal
from pulso.errors import DecodeError, RejectReason

MOST_RECORDS = 10_000
"""Records of one message that are gone through."""


class Scope:
    """One record, with its surroundings. `parts` are texts by name: of the topic, and keys of what is gone through.

    `holder` is the object that holds the list the record is of, where that is not the record around it.
    """

    __slots__ = ("_known", "holder", "parent", "parts", "value")

    def __init__(
        self, value: object, parts: Mapping[str, str], parent: "Scope | None" = None, holder: object = None
    ) -> None:
        self.value = value
        self.parts = parts
        self.parent = parent
        self.holder = holder
        self._known: dict[str, object] = {}

    def find(self, path: Path) -> object:
        """What stands at a path, MISSING if it is not there. Raises DecodeError."""
        if path.up == 0:
            return path.find(self.value)
        scope: Scope | None = self
        inner = self
        if path.up < 0:
            while scope is not None and scope.parent is not None:
                scope = scope.parent
        else:
            for _ in range(path.up):
                inner, scope = scope or inner, scope.parent if scope is not None else None
        found = MISSING if scope is None else scope.find_once(path)
        return path.find(inner.holder) if found is MISSING and path.up > 0 and scope is not None else found

    def find_once(self, path: Path) -> object:
        """The same of this record's own value, remembered: many records inside it ask."""
        if path.text not in self._known:
            self._known[path.text] = path.find(self.value)
        return self._known[path.text]

    def records(self, steps: Sequence[Each], drop: frozenset[str] = frozenset()) -> Iterator["Scope"]:
        """The records that `steps` lead to, this one if there are none. Raises DecodeError (too_large).

        Keys that hold personal data, or are to be dropped, are passed over.
        """
        if not steps:
            yield self
            return
        for count, scope in enumerate(self._within(steps, drop)):
            if count == MOST_RECORDS:
                raise DecodeError(RejectReason.TOO_LARGE, f"more than {MOST_RECORDS} records in one message")
            yield scope

    def _within(self, steps: Sequence[Each], drop: frozenset[str]) -> Iterator["Scope"]:
        if not steps:
            yield self
            return
        for scope in self._items(steps[0], drop):
            yield from scope._within(steps[1:], drop)  # noqa: SLF001 (of the same class)

    def _items(self, step: Each, drop: frozenset[str]) -> Iterator["Scope"]:
        found = self.find(step.path)
        around = step.path.around
        holder = None if around is None else around.find(self.value)
        if isinstance(found, dict) and step.key is not None and not step.columns:
            for key, value in found.items():
                if value is not None and key.casefold() not in drop and not is_personal(key):
                    yield Scope(value, {**self.parts, step.key: key}, self, holder)
        elif isinstance(found, dict) and step.columns:
            for at, value in enumerate(_rows(found)):
                yield Scope(value, self.parts if step.key is None else {**self.parts, step.key: str(at)}, self, holder)
        elif isinstance(found, list):
            for at, value in enumerate(found):
                if value is not None:
                    parts = self.parts if step.key is None else {**self.parts, step.key: str(at)}
                    yield Scope(value, parts, self, holder)
        elif found is not MISSING and found is not None:
            yield Scope(found, self.parts, self, holder)


def _rows(columns: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """The rows of a table whose columns are lists; what is no list stands in every row."""
    rows = max((len(column) for column in columns.values() if isinstance(column, list)), default=0)
    for at in range(rows):
        yield {
            name: (column[at] if at < len(column) else None) if isinstance(column, list) else column
            for name, column in columns.items()
        }
