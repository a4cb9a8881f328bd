"""What the assessment needs to know of datastreams, and the clocks of things, kept beside it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ingest.assess import Assessor, ClockEstimate, ThingClocks
from pulso.city.assessment import AssessmentTable
from pulso.db.observations import ObservationColumns
from pulso.db.things import DatastreamKey, Registered

_NOBODY = -1


class Assessing:
    """Gives each observation its quality, and follows how far each thing's clock is off."""

    def __init__(self, table: AssessmentTable) -> None:
        self._assessor = Assessor(table)
        self._clocks = ThingClocks()
        self._thing_of = np.full(1024, _NOBODY, np.int32)  # by datastream
        self._heard: NDArray[np.int32] = np.empty(0, np.int32)

    def meet(self, registered: Mapping[DatastreamKey, Registered]) -> None:
        """Learn what datastreams are, before their first observation."""
        for key, (thing, stream) in registered.items():
            if stream is not None:
                datastream_id, unit = stream
                self._assessor.meet(datastream_id, key.observed_property, unit, thing.zone_id, thing.properties)
                self._thing(datastream_id, thing.thing_id)

    def assess(self, columns: ObservationColumns, *, live: bool) -> ObservationColumns:
        """The same observations with quality and flags. Each batch is given once.

        Only what arrives `live` tells of clocks: a replay has waited for a person.
        """
        if not len(columns):
            return columns
        quality, flags = self._assessor.assess(columns)
        if live:
            self._follow_clocks(columns)
        return replace(columns, quality=quality, flags=flags)

    def take_clocks(self) -> list[ClockEstimate]:
        """Estimates for the things that were heard since the last call."""
        heard, self._heard = self._heard, np.empty(0, np.int32)
        return list(self._clocks.estimates(heard))

    def _follow_clocks(self, columns: ObservationColumns) -> None:
        """What bears our own time of receipt tells nothing about a clock."""
        known = columns.datastream_id < len(self._thing_of)
        told = np.flatnonzero(known & (columns.phenomenon_time != columns.received_at))
        things = self._thing_of[columns.datastream_id[told]]
        told, things = told[things != _NOBODY], things[things != _NOBODY]
        heard = self._clocks.update(things, columns.phenomenon_time[told], columns.received_at[told])
        self._heard = np.union1d(self._heard, heard)

    def _thing(self, datastream_id: int, thing_id: int) -> None:
        while datastream_id >= len(self._thing_of):
            self._thing_of = np.concatenate([self._thing_of, np.full_like(self._thing_of, _NOBODY)])
        self._thing_of[datastream_id] = thing_id
