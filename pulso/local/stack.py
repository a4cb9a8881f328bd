"""Everything `pulso up` runs, put together: servers of our own where none are given, and the services on them."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pulso.local import broker as brokers
from pulso.local.identity import Identity, home_for, own_directory, unprivileged
from pulso.local.ports import LOOPBACK, free_port
from pulso.local.postgres import PostgresServer, embedded_programs
from pulso.local.probes import answers_ready, in_thread, listening
from pulso.local.services import SERVICES, Service
from pulso.supervisor import ProcessSpec

_ANY_ADDRESS = {"0.0.0.0", "::", ""}
_POSTGRES_PORT = 15432

# Small enough for a laptop, with room for the pools of four services and a person at psql.
_POSTGRES_SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "log_line_prefix": "%m ",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `pulso up` was asked for; a host or address that is None is provided by us."""

    home: Path
    environment: Mapping[str, str]
    web_host: str
    web_port: int
    mqtt_port: int
    database_url: str | None
    mqtt_host: str | None
    simulate: bool


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs: the processes in order of starting, the addresses people and other commands need, remarks."""

    specs: tuple[ProcessSpec, ...]
    addresses: Mapping[str, str]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Server:
    """A database or broker: the process that runs it (None if it is given), its environment, what to say of it."""

    spec: ProcessSpec | None
    environment: Mapping[str, str]
    remarks: tuple[str, ...] = ()


def assemble(wanted: Wanted) -> Stack:
    """Decide what runs and where; makes the directories and the embedded database, and starts nothing.

    Raises ConfigurationError if the embedded database cannot run here.
    """
    identity = unprivileged()
    home = home_for(identity, wanted.home)
    database = _database(wanted, home, identity)
    broker = _broker(wanted, home, identity)
    web_port = free_port(wanted.web_port, host=wanted.web_host)
    reached = LOOPBACK if wanted.web_host in _ANY_ADDRESS else wanted.web_host
    environment = {
        **_environment(wanted),
        **database.environment,
        **broker.environment,
        "PULSO_WEB_HOST": wanted.web_host,
        "PULSO_WEB_PORT": str(web_port),
    }
    given = {name for name, server in (("database", database), ("broker", broker)) if server.spec is None}
    services = [service for service in SERVICES if wanted.simulate or service.name != "sim"]
    ports = _health_ports(services, {"web": web_port})
    specs = [
        *(server.spec for server in (database, broker) if server.spec is not None),
        *(_service(service, environment, ports[service.name], reached, given) for service in services),
    ]
    addresses = {
        **database.environment,
        **broker.environment,
        "PULSO_WEB_URL": f"http://{reached}:{web_port}",
    }
    remarks = (*_moved("web", wanted.web_port, web_port), *_elsewhere(wanted.home, home))
    return Stack(tuple(specs), addresses, (*remarks, *database.remarks, *broker.remarks))


def _environment(wanted: Wanted) -> dict[str, str]:
    """What every service inherits; without libpq's variables, which would bend the way to our own database."""
    home = wanted.home.resolve()
    inherited = {
        key: value
        for key, value in wanted.environment.items()
        if wanted.database_url is not None or not key.startswith("PG")
    }
    ours = {"PULSO_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    demonstration = {"PULSO_SIM_TRUTH": str(home / "truth"), "PULSO_SIM_SCENARIO": "demo"}
    return {**demonstration, **inherited, **ours}


def _database(wanted: Wanted, home: Path, identity: Identity | None) -> _Server:
    if wanted.database_url is not None:
        return _Server(None, {"PULSO_DB_URL": wanted.database_url})
    unplaced = PostgresServer(embedded_programs(identity), home / "postgres", 0, identity, _POSTGRES_SETTINGS)
    unplaced.prepare()
    server = replace(unplaced, port=free_port(_POSTGRES_PORT))  # chosen late, so that nobody else takes it meanwhile
    spec = ProcessSpec(
        "database",
        server.command(),
        prepare=server.prepare,
        is_ready=in_thread(server.is_ready),
        identity=identity,
        working_directory=server.home,
        stop_signal=signal.SIGINT,  # fast shutdown: ends sessions, needs no recovery
        stop_within=30.0,
        death_signal=signal.SIGINT,
    )
    return _Server(spec, {"PULSO_DB_URL": server.url()})


def _broker(wanted: Wanted, home: Path, identity: Identity | None) -> _Server:
    if wanted.mqtt_host is not None:
        return _Server(None, {"PULSO_MQTT_HOST": wanted.mqtt_host, "PULSO_MQTT_PORT": str(wanted.mqtt_port)})
    port = free_port(wanted.mqtt_port)
    directory = home / "mosquitto"
    own_directory(identity, directory)
    mosquitto = brokers.find_mosquitto()
    broker = brokers.mosquitto(mosquitto, directory, port, identity) if mosquitto else brokers.amqtt(port)
    spec = ProcessSpec(
        "broker",
        broker.command,
        environment=wanted.environment,
        is_ready=listening(port),
        identity=identity if mosquitto else None,
        working_directory=directory if mosquitto else None,
        death_signal=signal.SIGTERM,  # it writes its queues
    )
    remarks = _moved("broker", wanted.mqtt_port, port)
    if not broker.keeps_messages:
        remarks = (*remarks, "Mosquitto is not installed: the broker in Python forgets queued messages when it stops")
    return _Server(spec, {"PULSO_MQTT_HOST": LOOPBACK, "PULSO_MQTT_PORT": str(port)}, remarks)


def _health_ports(services: list[Service], known: Mapping[str, int]) -> dict[str, int]:
    ports = dict(known)
    for service in services:
        ports.setdefault(service.name, free_port(taken=set(ports.values())))
    return ports


def _service(
    service: Service, environment: Mapping[str, str], health_port: int, web_host: str, given: set[str]
) -> ProcessSpec:
    host = web_host if service.name == "web" else LOOPBACK
    return ProcessSpec(
        service.name,
        service.command(),
        environment={**environment, "PULSO_HEALTH_HOST": LOOPBACK, "PULSO_HEALTH_PORT": str(health_port)},
        after=tuple(name for name in service.after if name not in given),
        once=service.once,
        is_ready=answers_ready(health_port, host),
        stop_within=15.0,
    )


def _moved(name: str, wanted: int, taken: int) -> tuple[str, ...]:
    return () if wanted in (0, taken) else (f"port {wanted} is busy: the {name} is on {taken}",)


def _elsewhere(wanted: Path, home: Path) -> tuple[str, ...]:
    if home == wanted.resolve():
        return ()
    return (f"database and broker cannot work in {wanted.resolve()} as an ordinary user: their data are in {home}",)
