import pytest
from typer.testing import CliRunner

from sensors_sim.__main__ import app


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--faults", "terrible"], "no fault rates 'terrible'"),
        (["--scenario", "nothing"], "no scenario 'nothing'"),
        (["--scale", "0", "--rate", "-3"], "PULSO_SIM_RATE"),
        (["incident", "fog", "--zone", "coyoacan"], "such an incident cannot be"),
    ],
)
def test_what_cannot_work_is_one_message_and_exit_code_2(arguments, complaint):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_all_faulty_settings_are_named_at_once(monkeypatch):
    monkeypatch.setenv("PULSO_SIM_SEED", "many")
    monkeypatch.setenv("PULSO_SIM_IN_FLIGHT", "0")
    monkeypatch.setenv("PULSO_MQTT_PORT", "-1")
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    for name in ("PULSO_SIM_SEED", "PULSO_SIM_IN_FLIGHT", "PULSO_MQTT_PORT"):
        assert name in result.stderr


def test_help_teaches_with_examples():
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "pulso sim incident congestion --zone coyoacan" in " ".join(result.stdout.split())
