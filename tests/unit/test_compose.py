"""docker-compose.yml, checked without Docker: its shape, its commands, its secrets, its hardening."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pulso.local.broker import LIMITS
from pulso.local.services import SERVICES
from pulso.settings import DatabaseSettings, EngineSettings, IngestSettings, LogSettings, MqttSettings, WebSettings
from sensors_sim.settings import SimSettings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
TEXT = FILE.read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = YAML(typ="safe").load(TEXT)["services"]
OURS = [service.name for service in SERVICES]
GIVEN_BY_SECRET_OR_TOPOLOGY = {"PULSO_MQTT_TLS", "PULSO_MQTT_CA_FILE"}  # inside one network there is no TLS


def test_the_file_follows_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_runs_the_services_that_up_runs_and_nothing_else() -> None:
    assert set(COMPOSE) == {"database", "broker", *OURS}


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_commands_are_those_of_up(service: Any) -> None:
    assert COMPOSE[service.name]["command"] == ["pulso", *service.arguments]
    assert service.command()[-len(service.arguments) :] == service.arguments


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_services_start_after_what_up_starts_them_after(service: Any) -> None:
    assert set(COMPOSE[service.name]["depends_on"]) == set(service.after)


def test_only_the_simulator_waits_for_its_profile() -> None:
    assert {name for name, service in COMPOSE.items() if "profiles" in service} == {"sim"}
    assert COMPOSE["sim"]["profiles"] == ["demo"]


@pytest.mark.parametrize("name", OURS)
def test_services_can_do_no_more_than_they_must(name: str) -> None:
    service = COMPOSE[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", [name for name in ["database", "broker", *OURS] if name != "migrate"])
def test_every_lasting_service_has_a_health_check(name: str) -> None:
    assert COMPOSE[name]["healthcheck"]["test"][0] == "CMD"


def test_ports_are_published_on_the_loopback_interface_by_default() -> None:
    published = [port for service in COMPOSE.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("${PULSO_PUBLISH:-127.0.0.1}:") for port in published)


def test_secrets_come_from_the_environment_and_must_be_given() -> None:
    secrets = {
        value
        for service in COMPOSE.values()
        for key, value in service.get("environment", {}).items()
        if "PASSWORD" in key
    }
    assert secrets
    assert all(re.fullmatch(r"\$\{\w+:\?.+\}", value) for value in secrets)


def test_example_environment_names_every_variable_the_file_asks_for() -> None:
    asked = set(re.findall(r"\$\{(\w+)", TEXT))
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert {name for name in asked if not re.search(rf"^(# )?{name}=", example, re.MULTILINE)} == set()


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("ingest", [LogSettings, DatabaseSettings, MqttSettings, IngestSettings]),
        ("kpi", [LogSettings, DatabaseSettings, EngineSettings]),
        ("web", [LogSettings, DatabaseSettings, WebSettings]),
        ("sim", [LogSettings, MqttSettings, SimSettings]),
    ],
)
def test_every_setting_of_a_service_can_be_given(name: str, groups: list[Any]) -> None:
    settings = {
        f"{group.model_config['env_prefix']}{field.upper()}" for group in groups for field in group.model_fields
    }
    assert settings - GIVEN_BY_SECRET_OR_TOPOLOGY - set(COMPOSE[name]["environment"]) == set()


def test_the_shipped_broker_configuration_has_the_limits_of_the_embedded_one() -> None:
    lines = (ROOT / "deploy" / "mosquitto" / "mosquitto.conf").read_text(encoding="utf-8").splitlines()
    shipped = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    assert {key: shipped.get(key) for key in LIMITS} == LIMITS


def test_the_image_holds_every_package() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    packages = {path.parent.name for path in ROOT.glob("*/py.typed")}
    assert packages == {match[1] for match in re.finditer(r"^COPY (\w+) \1$", dockerfile, re.MULTILINE)}
