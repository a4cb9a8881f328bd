"""The books of this worker: what became of each message, by source and minute of receipt.

received = stored + duplicate + rejected + ignored + in flight. Each side is counted where it happens: what was received
when its packet came in, what is in flight by what is in our hands, what was settled from the outcome of each message.
A message that gets lost between the two leaves a difference that stays.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

from ingest.limits import storable
from ingest.message import RawMessage
from pulso.db.ledger import Page

MINUTE = 60_000_000  # microseconds
_MOST_SOURCES = 500
_REMEMBERED_TOPICS = 200_000
_KEPT_MINUTES = 60


class Settled(StrEnum):
    """What a message came to."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    IGNORED = "ignored"

    __hash__ = str.__hash__  # each message is counted by its outcome, and the one of enumerations is slow


Key = tuple[str, int]
"""A source and a minute of receipt, in minutes since 1970 UTC."""


class Books:
    """Counts messages; `arrive` is called on the broker client's thread, everything else on the event loop.

    `source_of` names the source of a topic. No more than 500 sources are told apart, the others count as `other`.
    """

    def __init__(self, source_of: Callable[[str], str]) -> None:
        self._source_of = source_of
        self._sources: dict[str, str] = {}  # by topic
        self._names: set[str] = set()
        self._arrived: dict[Key, int] = {}  # written by the broker client's thread alone
        self._taken: Counter[Key] = Counter()
        self._at_work: Counter[Key] = Counter()
        self._settled: dict[Settled, Counter[Key]] = {outcome: Counter() for outcome in Settled}
        self._changed: set[Key] = set()

    def arrive(self, message: RawMessage) -> None:
        """Count a message that was taken over from the broker."""
        key = self._sources.get(message.topic) or self._source(message.topic), message.received_at // MINUTE
        self._arrived[key] = self._arrived.get(key, 0) + 1

    def take(self, batch: Iterable[RawMessage]) -> None:
        """Count messages that are taken up: they no longer wait."""
        for key, count in Counter(self._keys(batch)).items():
            self._taken[key] += count
            self._at_work[key] += count
            self._changed.add(key)

    def settle(self, batch: Sequence[RawMessage], outcomes: Mapping[int, Settled], *, by: int = 1) -> None:
        """Count what the messages of a batch came to, by their place in it; `by` = -1 takes it back."""
        keys = self._keys(batch)
        for key, count in Counter(keys).items():
            self._at_work[key] -= by * count
            self._changed.add(key)
        came_to = zip(outcomes.values(), map(keys.__getitem__, outcomes), strict=True)
        for (outcome, key), count in Counter(came_to).items():
            self._settled[outcome][key] += by * count

    def pages(self) -> list[Page]:
        """What has changed since `written` was called."""
        return [self._page(key) for key in self._changed]

    def written(self) -> None:
        """`pages` is in the database; forget what is settled and an hour old."""
        self._changed.clear()
        newest = max((minute for _, minute in self._taken), default=0)
        for key in [key for key in self._taken if key[1] < newest - _KEPT_MINUTES]:
            if not self._page(key).in_flight:
                for counter in (self._arrived, self._taken, self._at_work, *self._settled.values()):
                    counter.pop(key, None)

    def _page(self, key: Key) -> Page:
        source, minute = key
        received = self._arrived.get(key, 0)
        waiting = received - self._taken[key]
        return Page(
            source=source,
            minute=minute,
            received=received,
            stored=self._settled[Settled.STORED][key],
            duplicate=self._settled[Settled.DUPLICATE][key],
            rejected=self._settled[Settled.REJECTED][key],
            ignored=self._settled[Settled.IGNORED][key],
            in_flight=waiting + self._at_work[key],
        )

    def _keys(self, batch: Iterable[RawMessage]) -> list[Key]:
        sources, source = self._sources, self._source
        return [(sources.get(each.topic) or source(each.topic), each.received_at // MINUTE) for each in batch]

    def _source(self, topic: str) -> str:
        source = self._sources.get(topic)
        if source is None:
            source = storable(self._source_of(topic)[:100])
            if source not in self._names:
                source = source if len(self._names) < _MOST_SOURCES else "other"
                self._names.add(source)
            if len(self._sources) >= _REMEMBERED_TOPICS:
                self._sources = {}  # a new one: the other thread may be looking into the old
            self._sources[topic] = source
        return source
