"""A score, why it is what it is, and the level it is shown in."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Whether there is a score, and if not, why."""

    SCORED = "scored"
    NOT_REPORTED = "not_reported"
    NO_GOALPOSTS = "no_goalposts"  # the value is shown, it has no score
    INSUFFICIENT = "insufficient"  # fewer than two thirds, by weight, of what it is made of are scored
    IMPOSSIBLE = "impossible"  # a share below zero, a claim that is neither 0 nor 1


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one child adds to a score: `weight` after renormalising (0 where it has no score), both scores 0-100."""

    child: str
    weight: float
    score: float | None
    contribution: float


@dataclass(frozen=True, slots=True)
class Score:
    """A score of 0-100, None unless `scored`; the contributions sum to it.

    `coverage` is the share by weight, 0-1, of the children that have a score.
    """

    name: str
    state: State
    value: float | None
    coverage: float
    contributions: tuple[Contribution, ...] = ()
    goalpost_versions: tuple[str, ...] = ()

    @staticmethod
    def missing(name: str, state: State, coverage: float = 0.0) -> "Score":
        """No score, and why."""
        return Score(name, state, None, coverage)


class Level(StrEnum):
    """Bands of a score as shown in colours; lower ends inclusive.

    The three cut points are those of the U4SSC city snapshots (verified); that an end belongs to the upper band is our
    own design.
    """

    REACHED = "reached"  # 95 and above
    NEAR = "near"  # 66 to below 95
    UNDER_WAY = "under_way"  # 33 to below 66
    FAR = "far"  # below 33
    GREY = "grey"  # not scored


def level_of(score: float | None) -> Level:
    """The level of a score, compared at six decimals so that 95 computed as 94.99999999999999 is 95."""
    if score is None:
        return Level.GREY
    rounded = round(score, 6)
    ends = ((95, Level.REACHED), (66, Level.NEAR), (33, Level.UNDER_WAY))
    return next((level for end, level in ends if rounded >= end), Level.FAR)
