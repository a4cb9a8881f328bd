"""Figures of a series, to compare with what the database gives back."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sensors_sim.replay.reader import SeriesRow


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures over values, and over keys (thing, property, time): a key that stands twice is stored once.

    `count`, `total`, `mean` are over all values; `keys`, `keys_mean` over distinct keys, the last value of each.
    All in the unit of the profile; times are those of the rows, in UTC.
    """

    count: int
    keys: int
    things: int
    total: float
    mean: float
    keys_mean: float
    minimum: float
    maximum: float
    first: datetime
    last: datetime


def summarise(rows: Iterable[SeriesRow]) -> Summary | None:
    """The figures of a series; None for an empty one. Sums are exactly rounded (Shewchuk's, `math.fsum`)."""
    values: list[float] = []
    keys: dict[tuple[str, str, datetime], float] = {}
    for row in rows:
        values.append(row.result)
        keys[row.thing, row.observed_property, row.phenomenon_time] = row.result
    if not values:
        return None
    total = math.fsum(values)
    return Summary(
        count=len(values),
        keys=len(keys),
        things=len({thing for thing, _, _ in keys}),
        total=total,
        mean=total / len(values),
        keys_mean=math.fsum(keys.values()) / len(keys),
        minimum=min(values),
        maximum=max(values),
        first=min(time for _, _, time in keys),
        last=max(time for _, _, time in keys),
    )
