"""Ground truth: everything that was sent, beside what was true, as files that a test can read after a stop.

A directory holds `observations-*.csv.gz` (one row per observation, a new file every hour and at every start) and
`incidents.jsonl`. A simulator that starts again sends its history again, so a key may stand in two files; what was
sent is then the same both times.
"""

import csv
import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from sensors_sim.generate import Message, TruthRow
from sensors_sim.incidents import Incident, IncidentKind

COLUMNS = tuple(field.name for field in fields(TruthRow))
JOURNAL = "incidents.jsonl"
FLUSH_EVERY = timedelta(seconds=5)


class TruthWriter:
    """Writes the rows of one publishing process. Close it, or the last rows are missing."""

    def __init__(self, directory: Path, *, worker: int = 0, keep: timedelta = timedelta(hours=48)) -> None:
        self._directory = directory
        self._worker = worker
        self._keep = keep
        self._file: IO[str] | None = None
        self._rotate_at = self._flush_at = datetime.min.replace(tzinfo=UTC)
        directory.mkdir(parents=True, exist_ok=True)

    def record(self, message: Message, published: int, now: datetime) -> None:
        """Write down one message that was published `published` times; 0 for one that a drop-out swallowed."""
        file = self._current(now)
        head = f"{message.thing},"
        tail = f",{message.fault},{published}\n"
        times = f",{message.phenomenon_time},{message.sent_time},"
        values = zip(message.properties, message.true_values, message.sent_values, strict=True)
        file.write("".join(f"{head}{name}{times}{true},{sent}{tail}" for name, true, sent in values))

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _current(self, now: datetime) -> IO[str]:
        if self._file is None or now >= self._rotate_at:
            self.close()
            self._delete_old(now)
            name = f"observations-{now:%Y%m%dT%H%M%S}-{os.getpid()}-{self._worker}.csv.gz"
            self._file = gzip.open(  # noqa: SIM115  closed by close()
                self._directory / name, "at", compresslevel=1, encoding="utf-8", newline=""
            )
            self._file.write(",".join(COLUMNS) + "\n")
            self._rotate_at = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            self._flush_at = now + FLUSH_EVERY
        elif now >= self._flush_at:
            self._file.flush()
            self._flush_at = now + FLUSH_EVERY
        return self._file

    def _delete_old(self, now: datetime) -> None:
        for path in self._directory.glob("observations-*.csv.gz"):
            if now.timestamp() - path.stat().st_mtime > self._keep.total_seconds():
                path.unlink(missing_ok=True)


def read_truth(directory: Path) -> Iterator[TruthRow]:
    """All rows of a directory, file by file; of a file that a killed process left unfinished, what can be read."""
    for path in sorted(directory.glob("observations-*.csv.gz")):
        yield from _read_rows(path)


def _read_rows(path: Path) -> Iterator[TruthRow]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        try:
            next(rows, None)
            for row in rows:
                if len(row) == len(COLUMNS):
                    thing, name, time, sent_time, true, sent, fault, times = row
                    yield TruthRow(thing, name, time, sent_time, true, sent, fault, int(times))
        except EOFError:
            return


def append_incident(directory: Path, incident: Incident) -> None:
    """Write one incident into the journal."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / JOURNAL).open("a", encoding="utf-8") as file:
        file.write(json.dumps(incident_facts(incident)) + "\n")


def read_incidents(directory: Path) -> list[Incident]:
    """All incidents of the journal, in the order they were written down; none if there is no journal."""
    journal = directory / JOURNAL
    if not journal.is_file():
        return []
    lines = journal.read_text(encoding="utf-8").splitlines()
    return [incident_of(json.loads(line)) for line in lines if line.endswith("}")]


def incident_facts(incident: Incident) -> dict[str, Any]:
    """An incident as JSON tells it; times in UTC, the end is the first moment it is over."""
    return asdict(incident) | {
        "start": incident.start.isoformat(),
        "end": incident.end.isoformat(),
        "duration": incident.duration.total_seconds(),
    }


def incident_of(facts: dict[str, Any]) -> Incident:
    """The incident that `incident_facts` described."""
    return Incident(
        start=datetime.fromisoformat(facts["start"]),
        kind=IncidentKind(facts["kind"]),
        zone_id=facts["zone_id"],
        duration=timedelta(seconds=facts["duration"]),
        severity=facts["severity"],
        incident_id=facts["incident_id"],
    )
