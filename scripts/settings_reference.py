"""Writes .env.example from the settings classes: every variable, what it means, its default."""

import importlib
import importlib.util
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[1]
TARGET = ROOT / ".env.example"
_MODULES = ("pulso.settings", "ingest.settings", "kpi_engine.settings", "dashboard.settings", "sensors_sim.settings")

_HEAD = """\
# Settings of Pulso. Copy to .env and change what you need; docker compose reads .env by itself.
# Written by `make reference` from the settings classes: edit those.

# --- Secrets of docker-compose.yml: it does not start without them ----------------------------------------------------
# One line each, for instance from: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'
PULSO_DB_PASSWORD=
PULSO_MQTT_INGEST_PASSWORD=
PULSO_MQTT_SIM_PASSWORD=
PULSO_MQTT_DEVICE_PASSWORD=
PULSO_MQTT_GATEWAY_PASSWORD=

# Where docker compose publishes its ports; loopback unless you put a proxy or a firewall in front.
# PULSO_PUBLISH=127.0.0.1
"""


def groups() -> list[type[BaseSettings]]:
    """All settings classes, in the order of their modules."""
    found: list[type[BaseSettings]] = []
    for name in _MODULES:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            continue
        found += [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, BaseSettings)
            and value is not BaseSettings
            and value.__module__ == name
        ]
    return found


def render() -> str:
    """The text of .env.example."""
    return "\n".join([_HEAD, *(_section(group) for group in groups())])


def _section(group: type[BaseSettings]) -> str:
    title = (group.__doc__ or "").strip().splitlines()[0]
    prefix = group.model_config["env_prefix"]
    lines = [f"# --- {title} ".ljust(119, "-"), ""]
    for name, field in group.model_fields.items():
        lines += textwrap.wrap(field.description or "", 117, initial_indent="# ", subsequent_indent="# ")
        lines += [f"# {prefix}{name.upper()}={_text(field)}", ""]
    return "\n".join(lines)


def _text(field: FieldInfo) -> str:
    return _value(field.get_default(call_default_factory=True, validated_data={}))


def _value(value: Any) -> str:  # noqa: PLR0911 (one line per kind)
    match value:
        case None:
            return ""
        case SecretStr():
            return value.get_secret_value()
        case bool():
            return str(value).lower()
        case tuple() | list():
            return ",".join(map(str, value))
        case BaseModel():
            return value.model_dump_json()
        case _ if hasattr(value, "total_seconds"):
            return f"PT{value.total_seconds():g}S"
        case _:
            return str(value)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
