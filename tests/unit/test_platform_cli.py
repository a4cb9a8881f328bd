"""The command: quick and teaching help, clear messages, exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_architecture import PACKAGES

COMMANDS = (
    "up", "doctor", "ingest", "kpi", "web", "sim", "decode", "things", "rejected", "city", "replay", "db", "version",
)  # fmt: skip


def pulso(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PULSO_", "PG"))}
    return subprocess.run(
        [sys.executable, "-m", "pulso", *arguments],
        cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_help_lists_every_command(tmp_path: Path) -> None:
    done = pulso("--help", cwd=tmp_path, COLUMNS="200")
    assert done.returncode == 0
    assert [name for name in COMMANDS if f" {name} " not in done.stdout] == []


def test_help_imports_no_package_and_no_heavy_library() -> None:
    """--help, a completion and a typing error must not wait for Dash or numpy."""
    listing = "import sys, pulso.cli, typer; typer.main.get_command(pulso.cli.app); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({*PACKAGES, "dash", "plotly", "numpy", "shapely", "psycopg", "paho", "fastapi"})


def test_commands_of_the_packages_are_found(tmp_path: Path) -> None:
    done = pulso("ingest", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_a_mistyped_command_is_answered_with_the_right_one(tmp_path: Path) -> None:
    done = pulso("inges", cwd=tmp_path)
    assert done.returncode == 2
    assert "ingest" in done.stderr


@pytest.mark.parametrize("command", [("up",), ("db", "status"), ("db", "migrate")])
def test_a_bad_setting_is_one_message_and_exit_code_2(command: tuple[str, ...], tmp_path: Path) -> None:
    done = pulso(*command, cwd=tmp_path, PULSO_DB_POOL_SIZE="none", PULSO_WEB_PORT="99999")
    assert done.returncode == 2
    assert "PULSO_DB_POOL_SIZE" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreachable_database_is_one_message_and_exit_code_1(tmp_path: Path) -> None:
    done = pulso("db", "status", cwd=tmp_path, PULSO_DB_URL="postgresql://127.0.0.1:1/none")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_version_is_that_of_the_package(tmp_path: Path) -> None:
    from importlib.metadata import version

    assert pulso("version", cwd=tmp_path).stdout.strip() == version("pulso")
