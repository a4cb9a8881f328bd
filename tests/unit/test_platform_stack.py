"""What `pulso up` decides to run, before it runs anything."""

from dataclasses import replace
from pathlib import Path

import pytest

from pulso.errors import ConfigurationError
from pulso.local import up
from pulso.local.ports import free_port
from pulso.local.stack import Stack, Wanted, assemble
from pulso.settings import CitySettings, DatabaseSettings, HomeSettings, MqttSettings, WebSettings, load


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    """A run on a database and a broker that are given, so that nothing has to be made."""
    return Wanted(
        home=tmp_path / "state",
        environment={"PATH": "/bin", "PGSSLMODE": "require", "PULSO_KPI_TICK": "2"},
        web_host="127.0.0.1",
        web_port=free_port(),
        mqtt_port=1883,
        database_url="postgresql://elsewhere/pulso",
        mqtt_host="broker.example",
        simulate=True,
    )


def environment(stack: Stack, name: str) -> dict[str, str]:
    return next(dict(spec.environment) for spec in stack.specs if spec.name == name)


def test_servers_that_are_given_are_used_and_not_started(wanted: Wanted) -> None:
    stack = assemble(wanted)

    assert [spec.name for spec in stack.specs] == ["migrate", "ingest", "kpi", "web", "sim"]
    for name in ("ingest", "kpi", "web"):
        assert environment(stack, name)["PULSO_DB_URL"] == "postgresql://elsewhere/pulso"
    assert environment(stack, "sim")["PULSO_MQTT_HOST"] == "broker.example"
    assert not {"database", "broker"} & {needed for spec in stack.specs for needed in spec.after}


def test_settings_reach_the_services(wanted: Wanted) -> None:
    kpi = environment(assemble(wanted), "kpi")
    assert kpi["PULSO_KPI_TICK"] == "2"
    assert kpi["PGSSLMODE"] == "require", "libpq's own variables belong to the database that is given"


def test_each_service_has_a_health_port_of_its_own(wanted: Wanted) -> None:
    stack = assemble(wanted)
    ports = [environment(stack, name)["PULSO_HEALTH_PORT"] for name in ("ingest", "kpi", "web", "sim")]
    assert len(set(ports)) == 4


def test_without_the_simulator_there_is_none(wanted: Wanted) -> None:
    assert "sim" not in {spec.name for spec in assemble(replace(wanted, simulate=False)).specs}


def test_pages_for_all_interfaces_are_announced_where_they_can_be_reached(wanted: Wanted) -> None:
    stack = assemble(replace(wanted, web_host="0.0.0.0"))
    assert stack.addresses["PULSO_WEB_URL"] == f"http://127.0.0.1:{wanted.web_port}"
    assert environment(stack, "web")["PULSO_WEB_HOST"] == "0.0.0.0"


def test_the_truth_of_the_simulator_lies_in_the_state_directory_unless_told_otherwise(wanted: Wanted) -> None:
    assert environment(assemble(wanted), "sim")["PULSO_SIM_TRUTH"] == str(wanted.home / "truth")
    elsewhere = replace(wanted, environment={"PULSO_SIM_TRUTH": "/elsewhere"})
    assert environment(assemble(elsewhere), "sim")["PULSO_SIM_TRUTH"] == "/elsewhere"


def test_a_directory_of_another_user_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(_: Wanted) -> Stack:
        raise PermissionError(13, "Permission denied", str(tmp_path / "postgres"))

    monkeypatch.setattr(up, "assemble", refuse)
    settings = load(
        HomeSettings, CitySettings, DatabaseSettings, MqttSettings, WebSettings, HomeSettings={"home": tmp_path}
    )
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        up.run(up.UpSettings(*settings), simulate=False, environment={})
