"""From a stretch of time to the messages that leave in it: grid, signals, faults, encoding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from pulso.model import Family
from sensors_sim import encode
from sensors_sim.city import Fleet, SimulatedCity
from sensors_sim.faults import FaultRates, Faults, faults_of
from sensors_sim.incidents import Incidents
from sensors_sim.noise import Floats
from sensors_sim.rhythm import Instants, Micros
from sensors_sim.signals import air, energy, traffic, waste
from sensors_sim.signals.context import Context

MEASURES = MappingProxyType(
    {
        Family.TRAFFIC: traffic.measure,
        Family.WASTE: waste.measure,
        Family.ENERGY: energy.measure,
        Family.AIR: air.measure,
    }
)

SPIKES = MappingProxyType(
    {Family.TRAFFIC: "speed", Family.WASTE: "temperature", Family.ENERGY: "voltage", Family.AIR: "pm2_5"}
)
"""The property that a spike hits. Not a register: one false reading of that would spoil every interval around it."""


@dataclass(frozen=True, slots=True)
class TruthRow:
    """One observation: what was true, what was sent, and how often."""

    thing: str
    observed_property: str
    phenomenon_time: str
    sent_time: str
    true_value: str
    sent_value: str
    fault: str
    times_published: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish `copies` times, not before `release` (microseconds UTC); 0 copies if it is dropped."""

    release: int
    topic: str
    payload: bytes
    copies: int
    thing: str
    phenomenon_time: str
    sent_time: str
    fault: str
    true_values: tuple[str, ...]
    sent_values: tuple[str, ...]
    properties: tuple[str, ...]

    def truth(self) -> list[TruthRow]:
        """One row per observation in the message."""
        return [
            TruthRow(self.thing, name, self.phenomenon_time, self.sent_time, true, sent, self.fault, self.copies)
            for name, true, sent in zip(self.properties, self.true_values, self.sent_values, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Generator:
    """Makes the messages of a city; the same stretch of time always gives the same ones.

    `share` is (n, of): this generator takes every of-th thing, from the n-th on, for several publishers.
    """

    city: SimulatedCity
    rates: FaultRates
    share: tuple[int, int] = (0, 1)

    def messages(
        self, start: int, end: int, incidents: Incidents, families: Sequence[Family] = tuple(Family)
    ) -> list[Message]:
        """Messages of all instants in [start, end), microseconds UTC, ordered by when they leave."""
        made: list[Message] = []
        for fleet in self.city.fleets:
            if fleet.family in families:
                rows, micros = due(fleet, start, end, self.share)
                if len(rows):
                    made += self._family_messages(fleet, rows, micros, incidents)
        made.sort(key=_departure)
        return made

    def true_values(
        self, fleet: Fleet, rows: NDArray[np.int64], micros: Micros, incidents: Incidents
    ) -> Mapping[str, Floats]:
        """What the sensors `rows` of a fleet would measure at `micros`, before resolution and faults."""
        context = Context(fleet.sites.take(rows), Instants.of(micros, self.city.timezone), incidents, self.city.seed)
        return MEASURES[fleet.family](context)

    def _family_messages(
        self, fleet: Fleet, rows: NDArray[np.int64], micros: Micros, incidents: Incidents
    ) -> list[Message]:
        faults = faults_of(self.rates, self.city.seed, fleet.sites.key[rows], micros)
        true = self.true_values(fleet, rows, micros, incidents)
        true_texts = {name: encode.number_texts(name, values) for name, values in true.items()}
        sent_texts = true_texts
        if faults.stuck.any() or faults.spiked.any():
            sent = self._faulty(fleet, rows, true, faults, incidents)
            sent_texts = {name: encode.number_texts(name, values) for name, values in sent.items()}
        return _assemble(fleet, _Readings(rows, micros, faults, true_texts, sent_texts))

    def _faulty(
        self, fleet: Fleet, rows: NDArray[np.int64], true: Mapping[str, Floats], faults: Faults, incidents: Incidents
    ) -> dict[str, Floats]:
        """The values that are sent: stuck at those of an earlier moment, or with a spike."""
        sent = {name: values.copy() for name, values in true.items()}
        stuck = np.flatnonzero(faults.stuck)
        if len(stuck):
            for name, values in self.true_values(fleet, rows[stuck], faults.source[stuck], incidents).items():
                sent[name][stuck] = values
        spiked = sent[SPIKES[fleet.family]]
        spiked[faults.spiked] *= faults.spike_factor[faults.spiked]
        return sent


def due(fleet: Fleet, start: int, end: int, share: tuple[int, int] = (0, 1)) -> tuple[NDArray[np.int64], Micros]:
    """Which things of a fleet report when in [start, end): rows, and microseconds UTC."""
    number, of = share
    rows = np.arange(number, len(fleet.things), of)
    phase = fleet.phase[rows]
    first = phase + -((phase - start) // fleet.interval) * fleet.interval
    counts = np.maximum(-((first - end) // fleet.interval), 0)
    repeated = np.repeat(np.arange(len(rows)), counts)
    nth = np.arange(len(repeated)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows[repeated], first[repeated] + nth * fleet.interval


def _departure(message: Message) -> tuple[int, str, str]:
    return message.release, message.sent_time, message.thing


@dataclass(frozen=True, slots=True)
class _Readings:
    """One row per message: which thing, when, what befell it, and its values as text, by property."""

    rows: NDArray[np.int64]
    micros: Micros
    faults: Faults
    true_texts: Mapping[str, Sequence[str]]
    sent_texts: Mapping[str, Sequence[str]]


def _assemble(fleet: Fleet, readings: _Readings) -> list[Message]:
    faults = readings.faults
    sent_times = encode.time_texts(readings.micros + faults.skew)
    topics = [encode.observation_topic(thing) for thing in fleet.things]
    names = [thing.external_id for thing in fleet.things]
    properties = tuple(readings.sent_texts)
    columns = zip(
        faults.release.tolist(),
        readings.rows.tolist(),
        encode.messages(sent_times, readings.sent_texts),
        faults.copies.tolist(),
        encode.time_texts(readings.micros),
        sent_times,
        faults.names(),
        zip(*readings.true_texts.values(), strict=True),
        zip(*readings.sent_texts.values(), strict=True),
        strict=True,
    )
    return [
        Message(release, topics[row], payload, copies, names[row], time, sent_time, fault, true, sent, properties)
        for release, row, payload, copies, time, sent_time, fault, true, sent in columns
    ]
