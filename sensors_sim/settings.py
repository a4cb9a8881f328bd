"""Settings of the simulator."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Length = Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(days=31))]


class SimSettings(BaseSettings):
    """The simulated city: what it sends, since when, how fast, and what is written beside it."""

    model_config = SettingsConfigDict(
        env_prefix="PULSO_SIM_", env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    seed: int = Field(1, description="The same seed gives the same city and the same messages.")
    scale: int = Field(1, ge=1, le=1000, description="Multiplies the number of things in every district.")
    faults: str = Field("default", description="Fault rates: none, default, heavy, or a TOML file.")
    scenario: str = Field(
        "", description="Scripted incidents: a scenario of the city pack, or a TOML file; none if empty."
    )
    truth: Path | None = Field(None, description="Directory for the ground truth; none is written if not given.")
    truth_keep: Length = Field(timedelta(hours=48), description="Ground truth older than this is deleted.")
    history: bool = Field(True, description="Also send what came before the start; with a rate only if asked for.")
    history_recent: Length = Field(timedelta(minutes=20), description="Sent at once at the start.")
    history_all: Length = Field(timedelta(hours=2), description="Sent in the background, of all families.")
    history_air: Length = Field(timedelta(hours=13), description="Sent in the background, of air stations.")
    history_rate: float = Field(1500.0, gt=0, description="Most messages per second of the background history.")
    rate: float = Field(0.0, ge=0, le=1e6, description="Messages per second for load tests; 0 is the natural rate.")
    publishers: int = Field(0, ge=0, le=64, description="Publishing processes; 0 takes as many as the rate needs.")
    in_flight: int = Field(500, ge=1, le=65_535, description="Most unacknowledged messages of one process.")
    drain: Length = Field(timedelta(seconds=15), description="How long a stop waits for acknowledgements.")

    @model_validator(mode="after")
    def _history_is_nested(self) -> "SimSettings":
        if not self.history_recent <= self.history_all <= self.history_air:
            raise ValueError("history_recent, history_all and history_air must not become shorter in this order")
        return self

    @property
    def sends_history(self) -> bool:
        """Whether history is sent: as told, and if nothing was told, only at the natural rate."""
        return self.history and ("history" in self.model_fields_set or not self.rate)
