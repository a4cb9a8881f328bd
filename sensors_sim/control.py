"""Incidents on request: the message that triggers one, and the book a running simulator keeps of them.

Topics (QoS 1, outside `pulso/v1/`, so that ingest never sees them): `pulso/sim/incident` takes requests,
`pulso/sim/incidents` holds, retained, what is going on and what is to come.
"""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from pulso.errors import UnknownZone
from sensors_sim.city import SimulatedCity
from sensors_sim.incidents import Incident, IncidentKind, Incidents
from sensors_sim.scenario import Scenario
from sensors_sim.truth import append_incident, incident_facts, incident_of, read_incidents

log = structlog.get_logger()

REQUEST_TOPIC = "pulso/sim/incident"
LIST_TOPIC = "pulso/sim/incidents"
MEMORY = timedelta(hours=24)
"""How long an incident that is over is remembered, for history that is sent again."""


class IncidentRequest(BaseModel):
    """The payload of `pulso/sim/incident`. Without `start` the incident starts as soon as it can."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: IncidentKind
    zone: str
    minutes: float = Field(15.0, gt=0, le=24 * 60)
    severity: float = Field(0.8, gt=0, le=1)
    start: AwareDatetime | None = None
    id: str = Field(default_factory=lambda: uuid4().hex[:12], min_length=1, max_length=64)

    def incident(self, earliest: datetime) -> Incident:
        """The incident asked for, starting not before `earliest`."""
        start = max(self.start or earliest, earliest)
        return Incident(start, self.kind, self.zone, timedelta(minutes=self.minutes), self.severity, self.id)


class IncidentBook:
    """All incidents a simulator knows: the scenario's and those that were triggered, also before a restart.

    With a `journal` directory every incident is written down when it becomes known. Only one of several publishing
    processes keeps the journal.
    """

    def __init__(self, city: SimulatedCity, scenario: Scenario, began: datetime, journal: Path | None = None) -> None:
        self._city = city
        self._scenario = scenario
        self._began = began
        self._journal = journal
        past = [i for i in read_incidents(journal) if i.forgotten > began - MEMORY] if journal else []
        self._known = {incident.incident_id: incident for incident in past}

    def between(self, start: datetime, end: datetime) -> Incidents:
        """The incidents that can be felt in [start, end)."""
        scripted = self._scenario.between(self._began, start, end)
        return Incidents.of(self._city, [*self._known.values(), *scripted]).between(start, end)

    def request(self, payload: bytes, earliest: datetime) -> Incident | None:
        """Take a request in; None, with a warning in the log, if it is not usable or already known."""
        try:
            request = IncidentRequest.model_validate_json(payload)
            incident = request.incident(earliest)
            Incidents.of(self._city, [incident])
        except (ValidationError, UnknownZone) as error:
            log.warning("incident_refused", reason=str(error), payload=payload[:200])
            return None
        if request.id in self._known:
            return None
        self._remember(incident)
        log.info("incident_triggered", **incident_facts(incident))
        return incident

    def adopt(self, listed: Iterable[Incident]) -> None:
        """Know what another process has listed."""
        self._known |= {incident.incident_id: incident for incident in listed}

    def current(self, now: datetime, ahead: timedelta) -> list[Incident]:
        """What is going on at `now` or starts within `ahead`; scripted ones are written down here."""
        for incident in self._scenario.between(self._began, now, now + ahead):
            if incident.incident_id not in self._known:
                self._remember(incident)
        return sorted(i for i in self._known.values() if i.end > now and i.start < now + ahead)

    def _remember(self, incident: Incident) -> None:
        self._known[incident.incident_id] = incident
        if self._journal:
            append_incident(self._journal, incident)


def list_payload(incidents: Iterable[Incident]) -> bytes:
    """The retained list as JSON."""
    return json.dumps([incident_facts(incident) for incident in incidents]).encode()


def parse_list(payload: bytes) -> list[Incident]:
    """The incidents of a retained list."""
    return [incident_of(facts) for facts in json.loads(payload or b"[]")]
