"""The services of Pulso and the commands that run them: one table for `pulso up` and docker-compose.yml."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its name, and the arguments of the `pulso` command that runs it."""

    name: str
    arguments: tuple[str, ...]
    after: tuple[str, ...]
    once: bool = False

    def command(self) -> tuple[str, ...]:
        """The command on this machine, with this interpreter and without the working directory on its path."""
        return (sys.executable, "-P", "-m", "pulso", *self.arguments)


# In the order of starting; stopping goes the other way round. The simulator waits for ingest, whose first
# subscription makes the broker keep messages for it.
SERVICES = (
    Service("migrate", ("db", "migrate"), after=("database",), once=True),
    Service("ingest", ("ingest",), after=("migrate", "broker")),
    Service("kpi", ("kpi",), after=("migrate",)),
    Service("web", ("web",), after=("migrate",)),
    Service("sim", ("sim",), after=("ingest",)),
)
