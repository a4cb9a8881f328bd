"""Device profiles: what the fields of a kind of device mean, and how the kind is told."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ingest.mapping.evaluate import Tally, holds, observe, time_of
from ingest.mapping.paths import MISSING
from ingest.mapping.scope import Scope
from ingest.mapping.tables import Match, ProfileTable
from ingest.message import Context, DecodedObservation, Reported
from pulso.errors import DecodeError, RejectReason
from pulso.model import Family

_WORDS = re.compile(r"\*|[^\W_]+")


@dataclass(frozen=True, slots=True)
class Profile:
    """A compiled profile. `models` finds the name of one of its models in what a message tells."""

    name: str
    family: Family | None
    table: ProfileTable
    models: re.Pattern[str] | None
    drop: frozenset[str]
    layer: int = 0

    @staticmethod
    def of(table: ProfileTable, layer: int = 0) -> "Profile":
        """Compile a table that has taken over what it is like; a higher `layer` goes before a lower."""
        models = "|".join(_model_pattern(model) for model in table.match.models)
        return Profile(
            table.name,
            table.family,
            table,
            re.compile(models, re.IGNORECASE) if models else None,
            frozenset(name.casefold() for name in table.drop),
            layer,
        )

    @property
    def signature_length(self) -> int:
        """How much its signature asks for."""
        match = self.table.match
        return len(match.fields) + (0 if match.when is None else 1)

    def read(self, thing: Reported, context: Context) -> list[DecodedObservation]:
        """What the fields of a thing say; nothing where the profile says that nothing was measured.

        Raises DecodeError (unmapped) if none of the fields it knows is there, and for a value that cannot be read.
        """
        scope = Scope(_as_dict(thing.fields), {})
        if any(holds(condition, scope) for condition in self.table.ignore):
            return []
        at = thing.phenomenon_time
        if self.table.time is not None:
            at = time_of(self.table.time, scope, context.timezone) or at
        tally = Tally()
        read = self.observations(scope, at, context, tally)
        if not read and not tally.understood and not thing.observations:
            looked_for = ", ".join(tally.missing) or "no field at all"
            detail = f"the profile {self.name} finds none of its fields: {looked_for}"
            raise DecodeError(RejectReason.UNMAPPED, detail[:500])
        return read

    def observations(self, scope: Scope, at: int | None, context: Context, tally: Tally) -> list[DecodedObservation]:
        """The observations of one decoded object. Raises DecodeError."""
        read: list[DecodedObservation] = []
        for table in self.table.observation:
            for record in scope.records(table.each, self.drop):
                own = at if table.time is None else time_of(table.time, record, context.timezone) or at
                observation = observe(table, record, own, tally)
                if observation is not None:
                    read.append(observation)
        return read

    def length_of_model(self, model: str) -> int:
        """How long the name of one of its models is in a text of a message; 0 if there is none."""
        found = None if self.models is None else self.models.search(model)
        return 0 if found is None else found.end() - found.start()

    def knows_device(self, external_id: str) -> bool:
        """Whether the device is listed, by id or pattern."""
        folded = external_id.casefold()
        return any(fnmatchcase(folded, pattern.casefold()) for pattern in self.table.match.devices)

    def finds_signature(self, fields: Mapping[str, object]) -> bool:
        """Whether all fields of its signature are there, and its condition is met."""
        match = self.table.match
        return (
            bool(match.fields)
            and all(_has(fields, name) for name in match.fields)
            and (match.when is None or _holds(match, fields))
        )

    def finds_any(self, fields: Mapping[str, object]) -> bool:
        """Whether any value that it asks for is there."""
        scope = Scope(_as_dict(fields), {})
        return any(
            table.each or table.value.path is None or scope.find(table.value.path) is not MISSING
            for table in self.table.observation
        )


def _has(fields: Mapping[str, object], name: str) -> bool:
    """Whether there is a field of this name, or one in others where the name has dots."""
    if name in fields:
        return True
    here: object = fields
    for key in name.split("."):
        here = here.get(key, MISSING) if isinstance(here, dict) else MISSING
    return here is not MISSING


def _as_dict(fields: Mapping[str, object] | None) -> dict[str, object]:
    return fields if isinstance(fields, dict) else dict(fields or {})


def _holds(match: Match, fields: Mapping[str, object]) -> bool:
    try:
        return match.when is not None and holds(match.when, Scope(_as_dict(fields), {}))
    except DecodeError:
        return False


def _model_pattern(model: str) -> str:
    """The expression of a model's name: its letters and digits, however they are joined, as whole words.

    `EM310-UDL` fits `Milesight EM310_UDL (868)` and `em310udl`, not `EM310-UDL2`; `*` stands for letters and digits.
    """
    words = ("[^\\W_]*" if word == "*" else re.escape(word) for word in _WORDS.findall(model))
    return r"(?<![^\W_])" + r"[\W_]*".join(words) + r"(?![^\W_])"
