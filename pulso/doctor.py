"""`pulso doctor`: every dependency and limit, what is wrong with it, and what to do.

Each check is a function from settings to findings. Nothing is changed, and no check stops the others.
"""

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pulso.capabilities import capability
from pulso.city import load_pack
from pulso.city.assessment import load_assessment
from pulso.db import pending
from pulso.db.connection import conninfo
from pulso.db.inspection import ServerReport, inspect
from pulso.errors import AppError, ConfigurationError
from pulso.local.broker import find_mosquitto
from pulso.local.identity import home_for, unprivileged
from pulso.local.ports import is_free
from pulso.local.postgres import embedded_programs, installed_version
from pulso.mqtt_probe import BrokerReport, ask
from pulso.settings import (
    CitySettings,
    DatabaseSettings,
    EngineSettings,
    HealthSettings,
    HomeSettings,
    IngestSettings,
    LogSettings,
    MqttSettings,
    WebSettings,
    load,
)

Level = Literal["good", "hint", "fault"]

_OLDEST_PYTHON = (3, 11)
_LITTLE_DISK = 2e9  # bytes; the embedded database with its log needs about half of it before the first day is over
_CLOCK_LEAD = 1.0  # seconds
_PROCESSES_WITH_A_POOL = 3  # ingest, engine, web
_EARLIEST_DATE = datetime(2026, 11, 1, tzinfo=UTC)  # before this release existed, no clock can be right
_SYSTEM_MOSQUITTO = Path("/etc/mosquitto")
_QUEUE_LIMIT = re.compile(r"^\s*max_queued_messages\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `advice` says what to do about a hint or a fault."""

    level: Level
    subject: str
    found: str
    advice: str = ""


def examine(environment: Mapping[str, str]) -> list[Finding]:
    """Run every check with the settings of this environment."""
    findings = list(_python())
    try:
        settings = load(
            HomeSettings, CitySettings, DatabaseSettings, MqttSettings, WebSettings,
            IngestSettings, EngineSettings, HealthSettings, LogSettings,
        )  # fmt: skip
    except ConfigurationError as error:
        return [*findings, Finding("fault", "settings", str(error), "correct these environment variables")]
    home, city, database, mqtt, web = settings[:5]
    return [
        *findings,
        *_city(city),
        *_embedded(),
        *_broker(mqtt, home_for(unprivileged(), home.home)),
        *_database(database, given=bool(environment.get("PULSO_DB_URL") or environment.get("PGHOST"))),
        *_port(web),
        *_disk(home.home),
        *_clock(datetime.now(UTC)),
    ]


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST_PYTHON:
        yield Finding("fault", "python", version, "install Python 3.11 or newer and run `make clean run`")
    else:
        yield Finding("good", "python", version)


def _city(settings: CitySettings) -> Iterator[Finding]:
    try:
        pack = load_pack(settings.pack)
    except ConfigurationError as error:
        yield Finding("fault", "city pack", str(error), "correct the files of the pack (PULSO_CITY_PACK)")
        return
    yield Finding("good", "city pack", f"{pack.city.name}: {len(pack.districts)} districts, {len(pack.kpis)} KPIs")
    try:
        load_assessment(pack.path)
        capability("check_devices")(settings.pack)
    except ConfigurationError as error:
        yield Finding("fault", "devices", str(error), "correct mappings/*.toml or assessment.toml of the city pack")
        return
    yield Finding("good", "devices", "mappings, profiles and assessment are in order")


def _embedded() -> Iterator[Finding]:
    """What `pulso up` would use."""
    mosquitto = find_mosquitto()
    if mosquitto:
        yield Finding("good", "embedded broker", str(mosquitto))
    else:
        advice = "install Mosquitto for more than a demonstration; amqtt forgets queued messages when it ends"
        yield Finding("hint", "embedded broker", "Mosquitto is not installed: amqtt is used", advice)
    try:
        programs = embedded_programs(unprivileged())
    except ConfigurationError as error:
        yield Finding("fault", "embedded database", str(error), "or give a database in PULSO_DB_URL")
        return
    yield Finding("good", "embedded database", f"PostgreSQL {installed_version(programs)}")


def _broker(settings: MqttSettings, home: Path) -> Iterator[Finding]:
    try:
        report = ask(settings)
    except AppError as error:
        yield Finding("fault", "broker", str(error), "start it, or run `pulso up`; PULSO_MQTT_HOST and _PORT say where")
        return
    yield from _broker_findings(report)
    yield from _queue_limit(settings, home)


def _broker_findings(report: BrokerReport) -> Iterator[Finding]:
    protocol = "MQTT 5" if report.protocol == 5 else "MQTT 3.1.1 only"
    if report.reason:
        advice = "check PULSO_MQTT_USERNAME and PULSO_MQTT_PASSWORD, and the broker's access list"
        yield Finding("fault", "broker", f"refuses us with reason code 0x{report.reason:02x}", advice)
    elif report.protocol < 5 or not report.shared_subscriptions or report.maximum_qos < 1:
        advice = "one ingest worker works; for several, use a broker with MQTT 5, shared subscriptions and QoS 1"
        yield Finding("hint", "broker", f"{protocol}, shared subscriptions or QoS 1 missing", advice)
    else:
        yield Finding("good", "broker", f"{protocol}, shared subscriptions, {report.receive_maximum} in flight")


def _queue_limit(settings: MqttSettings, home: Path) -> Iterator[Finding]:
    """Mosquitto does not tell its limits over MQTT; its files do, where they are on this machine."""
    advice = "set max_queued_messages to rate x longest outage, as deploy/mosquitto/mosquitto.conf does"
    files = [home / "mosquitto" / "mosquitto.conf", *sorted(_SYSTEM_MOSQUITTO.rglob("*.conf"))]
    texts = [_read(file) for file in files] if settings.host in ("127.0.0.1", "localhost") else []
    port = re.compile(rf"^\s*(listener|port)\s+{settings.port}\b", re.MULTILINE)
    ours = next((text for text in texts if port.search(text)), None)
    limit = _QUEUE_LIMIT.search(ours) if ours is not None else None
    if ours is None:
        found = "not known: a broker does not tell it, and Mosquitto drops silently beyond 1000 unless configured"
        yield Finding("hint", "broker queue", found, advice)
    elif limit is None or 0 < int(limit[1]) < 100_000:
        yield Finding("hint", "broker queue", f"{limit[1] if limit else 1000} messages, then it drops silently", advice)
    else:
        yield Finding("good", "broker queue", f"{limit[1]} messages (0: no limit)")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _database(settings: DatabaseSettings, *, given: bool) -> Iterator[Finding]:
    where = conninfo(settings)
    try:
        report, missing = inspect(where), pending(where)
    except AppError as error:
        advice = "start it, and check PULSO_DB_URL" if given else "give one in PULSO_DB_URL, or run `pulso up`"
        yield Finding("fault", "database", str(error).strip(), advice)
        return
    yield Finding("good", "database", f"PostgreSQL {report.version}, {report.edition}")
    if missing:
        names = ", ".join(each.name for each in missing)
        yield Finding("fault", "schema", f"migrations are pending: {names}", "run `pulso db migrate`")
    else:
        yield Finding("good", "schema", "up to date")
    yield from _sessions(report, settings.pool_size)
    yield from _clocks_agree(report.clock, datetime.now(UTC))


def _sessions(report: ServerReport, pool_size: int) -> Iterator[Finding]:
    needed = _PROCESSES_WITH_A_POOL * pool_size
    found = f"{report.connections} of {report.max_connections} in use; the services may open {needed}"
    if needed > report.max_connections - 3:  # PostgreSQL keeps three for superusers
        yield Finding("hint", "sessions", found, "raise max_connections or lower PULSO_DB_POOL_SIZE")
    else:
        yield Finding("good", "sessions", found)


def _clocks_agree(theirs: datetime, ours: datetime) -> Iterator[Finding]:
    lead = (ours - theirs).total_seconds()
    if abs(lead) > _CLOCK_LEAD:
        found = f"{abs(lead):.1f} s {'ahead of' if lead > 0 else 'behind'} the database's"
        yield Finding("fault", "clock", found, "synchronise both machines (NTP): late and early are judged by it")
    else:
        yield Finding("good", "clock", "agrees with the database's")


def _port(settings: WebSettings) -> Iterator[Finding]:
    where = f"{settings.host}:{settings.port}"
    if is_free(settings.port, settings.host):
        yield Finding("good", "web port", f"{where} is free")
    else:
        advice = "if that is not Pulso itself: `pulso up` takes the next one, `pulso web` needs PULSO_WEB_PORT"
        yield Finding("hint", "web port", f"{where} is in use", advice)


def _disk(home: Path) -> Iterator[Finding]:
    folder = next(path for path in (home.resolve(), *home.resolve().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free in {folder}"
    if free < _LITTLE_DISK:
        yield Finding("hint", "disk", found, "free some, or keep the state elsewhere (PULSO_HOME)")
    else:
        yield Finding("good", "disk", found)


def _clock(now: datetime) -> Iterator[Finding]:
    if now < _EARLIEST_DATE:
        advice = "set it (NTP): observations are judged by it"
        yield Finding("fault", "clock", f"{now:%Y-%m-%d %H:%M} UTC cannot be right", advice)


def render(findings: list[Finding]) -> str:
    """The findings as lines for a terminal, a summary at the end."""
    marks = {"good": "ok   ", "hint": "hint ", "fault": "FAULT"}
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{marks[finding.level]}  {finding.subject:<18} {finding.found}")
        if finding.advice:
            lines.append(f"{'':<7}{'':<18} -> {finding.advice}")
    faults = sum(finding.level == "fault" for finding in findings)
    hints = sum(finding.level == "hint" for finding in findings)
    return "\n".join([*lines, "", f"{_counted(faults, 'fault')}, {_counted(hints, 'hint')}"])


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
