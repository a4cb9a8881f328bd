"""Playing a recorded series: at its own pace or faster, with its own times or shifted to the present."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pulso.clock import Clock
from pulso.model import ThingDescription, ZoneId
from sensors_sim.encode import description, description_topic, observation_topic
from sensors_sim.publish import Publisher
from sensors_sim.replay.profile import Profile
from sensors_sim.replay.reader import Report, SeriesRow

NEARLY_DUE = timedelta(milliseconds=5)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast: `speed` seconds of the record in one second; None as fast as the broker takes it."""

    speed: float | None = None

    def due(self, row: SeriesRow, first: datetime, began: datetime) -> datetime:
        """When a row is published, in a play that began at `began` with a row of `first`."""
        return began if self.speed is None else began + (row.phenomenon_time - first) / self.speed


def in_order(rows: Iterable[SeriesRow], limit: int | None = None) -> list[SeriesRow]:
    """Rows by time, the first `limit` of them; those of one time in the order of the file."""
    return sorted(rows, key=lambda row: row.phenomenon_time)[:limit]


def shift_to_present(rows: Sequence[SeriesRow], interval: timedelta, pace: Pace, now: datetime) -> list[SeriesRow]:
    """The same series moved to the present by a multiple of `interval`, never into the future.

    Played at its own pace or slower, it begins now; played faster, it ends now.
    """
    if not rows:
        return []
    anchor = rows[0] if pace.speed is not None and pace.speed <= 1 else rows[-1]
    shift = (now - anchor.phenomenon_time) // interval * interval
    return [replace(row, phenomenon_time=row.phenomenon_time + shift) for row in rows]


def in_zone(report: Report, zone: str | None) -> list[ThingDescription]:
    """The things met while reading, placed in `zone` if one is given."""
    things = report.things.values()
    return [replace(thing, zone_id=ZoneId(zone)) for thing in things] if zone else list(things)


def until_their_last(
    things: Iterable[ThingDescription], rows: Iterable[SeriesRow], interval: timedelta
) -> list[ThingDescription]:
    """The things that `rows` are of, in service until one interval after their last row.

    A record ends. Without its end told, its things would be expected, and missed, in every later window.
    """
    last: dict[str, datetime] = {}
    for row in rows:
        last[row.thing] = max(row.phenomenon_time, last.get(row.thing, row.phenomenon_time))
    return [
        replace(
            thing, properties={**thing.properties, "in_service_until": (last[thing.external_id] + interval).timestamp()}
        )
        for thing in things
        if thing.external_id in last
    ]


def message(row: SeriesRow, profile: Profile) -> bytes:
    """One row in Pulso's JSON format, with its unit; the number is written so that it reads back the same."""
    moment = row.phenomenon_time.astimezone(UTC)
    stamp = moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")
    value = {"result": row.result, "unit": profile.unit}
    document = {"phenomenon_time": stamp, "observations": {row.observed_property: value}}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


class Player:
    """Publishes rows through one publisher; `published` counts them."""

    def __init__(self, publisher: Publisher, profile: Profile, clock: Clock) -> None:
        self._publisher = publisher
        self._profile = profile
        self._clock = clock
        self.published = 0

    async def describe(self, things: Iterable[ThingDescription]) -> None:
        """Publish the retained descriptions."""
        for thing in things:
            await self._publisher.publish(description_topic(thing), description(thing), retain=True)

    async def play(
        self, rows: Sequence[SeriesRow], pace: Pace, advanced: Callable[[int], None] = lambda _published: None
    ) -> None:
        """Publish rows, which are in order of time, at their pace; `advanced` is told the count now and then."""
        topics: dict[str, str] = {}
        began = self._clock.now()
        for row in rows:
            topic = topics.get(row.thing) or topics.setdefault(row.thing, self._topic(row.thing))
            ahead = pace.due(row, rows[0].phenomenon_time, began) - self._clock.now() if pace.speed else timedelta(0)
            if ahead > NEARLY_DUE:
                advanced(self.published)
                await self._clock.sleep(ahead)
            await self._publisher.publish(topic, message(row, self._profile))
            self.published += 1
            if self.published % 500 == 0:
                advanced(self.published)
        advanced(self.published)

    def _topic(self, thing: str) -> str:
        return observation_topic(ThingDescription(external_id=thing, family=self._profile.family))
