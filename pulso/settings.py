"""Settings of every service: read once from the environment in `__main__`, frozen, passed down.

`load` validates several groups at once and names every fault in one error, touching no network.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pulso.errors import ConfigurationError

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


def _config(prefix: str) -> SettingsConfigDict:
    return SettingsConfigDict(env_prefix=prefix, frozen=True, extra="ignore", hide_input_in_errors=True)


class LogSettings(BaseSettings):
    """Logging."""

    model_config = _config("PULSO_LOG_")

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity that is written.")
    json_lines: bool = Field(False, description="One JSON object per line instead of text for people.")


class DatabaseSettings(BaseSettings):
    """The database. Without `PULSO_DB_URL`, libpq's own PGHOST, PGUSER ... apply."""

    model_config = _config("PULSO_DB_")

    url: SecretStr = Field(SecretStr(""), description="libpq connection string or postgresql:// address.")
    pool_size: int = Field(8, ge=2, le=200, description="Most connections one process opens.")
    statement_timeout: Seconds = Field(30.0, description="Longest a query may take, in seconds.")


class MqttSettings(BaseSettings):
    """The broker."""

    model_config = _config("PULSO_MQTT_")

    host: str = Field("127.0.0.1", min_length=1, description="Broker host.")
    port: Port = Field(1883, description="Broker port.")
    username: str | None = Field(None, description="User name, if the broker asks for one.")
    password: SecretStr | None = Field(None, description="Password of that user.")
    tls: bool = Field(False, description="Speak TLS to the broker.")
    ca_file: Path | None = Field(None, description="Certificate authority of the broker; system's if not given.")
    keep_alive: int = Field(30, ge=5, le=65535, description="Keep-alive in seconds.")

    @model_validator(mode="after")
    def _password_needs_a_user(self) -> "MqttSettings":
        if self.password and not self.username:
            raise ValueError("a password is given without a user name (PULSO_MQTT_USERNAME)")
        return self


class HomeSettings(BaseSettings):
    """Where a one-command run keeps its state."""

    model_config = _config("PULSO_")

    home: Path = Field(Path(".pulso"), description="Directory of the embedded database and broker, logs and truth.")


class CitySettings(BaseSettings):
    """The city pack."""

    model_config = _config("PULSO_CITY_")

    pack: str = Field("cdmx", description="Name of a shipped city pack, or a path to one.")


class HealthSettings(BaseSettings):
    """The small HTTP server of a service without a web interface: /healthz, /readyz, /metrics."""

    model_config = _config("PULSO_HEALTH_")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Port = Field(0, description="Port to listen on; 0 takes a free one, which is logged.")


class IngestSettings(BaseSettings):
    """Broker to database."""

    model_config = _config("PULSO_INGEST_")

    client_id: str = Field(
        "pulso-ingest-1",
        min_length=1,
        max_length=64,
        description="MQTT client id; one per worker, kept over restarts.",
    )
    share_group: str = Field("pulso", pattern=r"^[^/+#\s]+$", description="Group of the shared subscription.")
    topic_filters: Annotated[tuple[str, ...], NoDecode] = Field(
        ("#",), min_length=1, description="MQTT topic filters, separated by commas; # is every topic of the broker."
    )
    in_flight: int = Field(
        20_000, ge=1, le=65_535, description="MQTT 5 Receive Maximum: unacknowledged messages at one time."
    )
    batch_messages: int = Field(4_000, ge=1, le=65_535, description="Most messages in one transaction.")
    batch_within: Annotated[float, Field(gt=0, le=0.1)] = Field(
        0.05, description="Longest a message waits for its batch, in seconds."
    )
    session_expiry: int = Field(
        7 * 86_400, ge=60, description="How long the broker keeps our session while we are away, in seconds."
    )
    admit: bool = Field(
        True, description="Count things nobody knows at once; if not, they wait in quarantine until they are adopted."
    )
    keep_rejected: Annotated[float, Field(ge=1)] = Field(
        30.0, description="Days that messages nobody understood are kept, and the books."
    )
    max_ahead: Seconds = Field(300.0, description="Largest lead of a phenomenon time over our clock, in seconds.")

    @field_validator("topic_filters", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("topic_filters")
    @classmethod
    def _filters_are_filters(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if "#" in name[:-1] or any("+" in level and level != "+" for level in name.split("/")):
                raise ValueError(f"{name!r} is no MQTT topic filter: # stands alone at its end, + for a whole level")
        return value

    @model_validator(mode="after")
    def _batch_fits_in_flight(self) -> "IngestSettings":
        if self.batch_messages > self.in_flight:
            raise ValueError(
                f"batch_messages ({self.batch_messages}) exceeds in_flight ({self.in_flight}): it never fills"
            )
        return self


class EngineSettings(BaseSettings):
    """Observations to KPI values."""

    model_config = _config("PULSO_KPI_")

    tick: Annotated[float, Field(gt=0, le=60)] = Field(1.0, description="Seconds between two evaluations.")
    idle_timeout: Seconds = Field(300.0, description="A thing silent for this many seconds holds no watermark back.")
    batch_retention: Seconds = Field(3600.0, description="How long consumed hand-off batches are kept, in seconds.")


class WebSettings(BaseSettings):
    """API and screens."""

    model_config = _config("PULSO_WEB_")

    host: str = Field("127.0.0.1", description="Address to listen on; loopback unless told otherwise.")
    port: Port = Field(8050, description="Port to listen on.")


Settings = TypeVar("Settings", bound=BaseSettings)


def _faults(error: ValidationError, settings: type[BaseSettings]) -> list[str]:
    prefix = settings.model_config["env_prefix"]
    return [
        f"{prefix}{'_'.join(str(part) for part in fault['loc']).upper()}".rstrip("_") + f": {fault['msg']}"
        for fault in error.errors(include_url=False, include_context=False)
    ]


def load(*groups: type[BaseSettings], **overrides: dict[str, Any]) -> tuple[Any, ...]:
    """Build each group of settings from the environment, in the order given.

    `overrides` come from command-line options, by class name: `load(WebSettings, WebSettings={"port": 80})`;
    an option left at None does not override.

    Raises ConfigurationError that names every fault of every group at once.
    """
    built: list[BaseSettings] = []
    faults: list[str] = []
    for group in groups:
        given = {key: value for key, value in overrides.get(group.__name__, {}).items() if value is not None}
        try:
            built.append(group(**given))
        except ValidationError as error:
            faults += _faults(error, group)
    if faults:
        raise ConfigurationError("the settings are not usable:", faults=faults)
    return tuple(built)
