"""Which version of an observation stands, when several arrive for one key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import NamedTuple

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


class Version(NamedTuple):
    """One result for a key, with when it reached us and, if told, when it was produced.

    `flags` say why it is not trusted; `sent_result` and `sent_unit` (sent_unit_id) are what stood in the message.
    """

    result: float
    quality: int
    received_at: datetime
    result_time: datetime | None
    flags: int = 0
    sent_result: float | None = None
    sent_unit: int | None = None

    @property
    def age_order(self) -> datetime:
        """Position among versions of one key; a version that does not tell is as old as can be."""
        return self.result_time or _BEFORE_ALL


class Verdict(Enum):
    """What an arriving version did."""

    CORRECTED = auto()
    DUPLICATE = auto()
    SUPERSEDED = auto()


@dataclass(frozen=True, slots=True)
class Settled:
    """The version that stands, those that gave way, and the verdict on each arrival, in order."""

    stands: Version
    replaced: list[Version]
    verdicts: list[Verdict]


def settle(stored: Version, superseded: Sequence[Version], arrivals: Sequence[Version]) -> Settled:
    """Settle `arrivals`, in order of arrival, against the version that stands and those that gave way before.

    - The result that stands already, or a version that gave way before, is a duplicate: a redelivered message
      never brings an old value back.
    - A result produced earlier than the one that stands does not replace it (`result_time`; not told = earliest).
    - Anything else takes its place.

    Where every version tells its `result_time`, and no two the same, the order of arrival makes no difference to
    which one stands.
    """
    stands = stored
    gone = {(version.result, version.result_time) for version in superseded}
    replaced: list[Version] = []
    verdicts: list[Verdict] = []
    for arrival in arrivals:
        if (arrival.result, arrival.result_time) in gone:
            verdicts.append(Verdict.DUPLICATE)
            continue
        if arrival.result == stands.result:
            stands = max(stands, arrival, key=lambda version: version.age_order)  # the first one, if equal
            verdicts.append(Verdict.DUPLICATE)
            continue
        is_older = arrival.age_order < stands.age_order
        gives_way = arrival if is_older else stands
        stands = stands if is_older else arrival
        replaced.append(gives_way)
        gone.add((gives_way.result, gives_way.result_time))
        verdicts.append(Verdict.SUPERSEDED if is_older else Verdict.CORRECTED)
    return Settled(stands, replaced, verdicts)
