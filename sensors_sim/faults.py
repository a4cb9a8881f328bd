"""Faults of sensors and links: closed forms too, so that a fault comes again when its instant is computed again."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from pulso.errors import ConfigurationError
from pulso.model import MICROSECOND
from sensors_sim.noise import Floats, Keys, channel, uniform
from sensors_sim.plan import read_toml
from sensors_sim.rhythm import Micros

BLOCK = timedelta(minutes=30) // MICROSECOND
"""A spell of drop-out, late delivery or a stuck value lies within one block of this length, in microseconds."""


class FaultRates(BaseModel):
    """How often things fail. Shares of blocks of 30 minutes, of messages, or of things; all 0 is a perfect city."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dropout: float = Field(0.0, ge=0, le=1, description="Share of blocks with a spell in which a thing is silent.")
    late: float = Field(0.0, ge=0, le=1, description="Share of blocks with a spell held back and sent in one burst.")
    stuck: float = Field(0.0, ge=0, le=1, description="Share of blocks with a spell in which all values stand still.")
    duplicate: float = Field(0.0, ge=0, le=1, description="Share of messages that are published twice.")
    spike: float = Field(0.0, ge=0, le=1, description="Share of messages with one value far off.")
    skew: float = Field(0.0, ge=0, le=1, description="Share of things whose clock is wrong.")
    skew_seconds: int = Field(60, ge=1, le=240, description="Largest error of such a clock; whole seconds.")


@dataclass(frozen=True, slots=True)
class Faults:
    """What befalls each message; columns of equal length.

    `dropped`: not sent at all. `copies`: times sent (0 if dropped). `release`: microseconds UTC at which it leaves.
    `source`: microseconds UTC of the moment whose values are sent. `skew`: microseconds added to its time stamp.
    `spiked`: one value is replaced by itself times `spike_factor`.
    """

    dropped: NDArray[np.bool_]
    late: NDArray[np.bool_]
    stuck: NDArray[np.bool_]
    spiked: NDArray[np.bool_]
    copies: NDArray[np.int64]
    release: Micros
    source: Micros
    skew: Micros
    spike_factor: Floats

    def names(self) -> list[str]:
        """The faults of each message, joined by "+"; empty for a healthy one."""
        flags = {
            "dropout": self.dropped,
            "late": self.late,
            "stuck": self.stuck,
            "spike": self.spiked,
            "duplicate": self.copies > 1,
            "skew": self.skew != 0,
        }
        rows = np.flatnonzero(np.logical_or.reduce(list(flags.values())))
        names = [""] * len(self.copies)
        for row in rows.tolist():
            names[row] = "+".join(name for name, flag in flags.items() if flag[row])
        return names


def load_rates(name: str) -> FaultRates:
    """The shipped rates `none`, `default` or `heavy`, or those of a TOML file. Raises ConfigurationError."""
    shipped = Path(__file__).with_name("fault_rates")
    for candidate in (shipped / f"{name}.toml", Path(name)):
        if candidate.is_file():
            return read_toml(candidate, FaultRates)
    known = ", ".join(sorted(path.stem for path in shipped.glob("*.toml")))
    raise ConfigurationError(f"no fault rates {name!r}: neither shipped ({known}) nor a file")


def faults_of(rates: FaultRates, seed: int, key: Keys, micros: Micros) -> Faults:
    """What befalls the messages of things `key` at moments `micros`."""
    dropped, _, _ = _spell(seed, "dropout", rates.dropout, key, micros)
    late, _, until = _spell(seed, "late", rates.late, key, micros)
    stuck, since, _ = _spell(seed, "stuck", rates.stuck, key, micros)
    late, stuck = late & ~dropped, stuck & ~dropped
    doubled = ~dropped & (uniform(channel(seed, "fault.duplicate"), key, micros) < rates.duplicate)
    spiked = ~dropped & (uniform(channel(seed, "fault.spike"), key, micros) < rates.spike)
    skewed = uniform(channel(seed, "fault.skew"), key) < rates.skew
    error = np.ceil((2.0 * uniform(channel(seed, "fault.skew_by"), key) - 1.0) * rates.skew_seconds)
    return Faults(
        dropped=dropped,
        late=late,
        stuck=stuck,
        spiked=spiked,
        copies=np.where(dropped, 0, np.where(doubled, 2, 1)),
        release=np.where(late, until, micros),
        source=np.where(stuck, since, micros),
        skew=np.where(skewed, np.where(error == 0, 1, error), 0).astype(np.int64) * 1_000_000,
        spike_factor=3.0 + 5.0 * uniform(channel(seed, "fault.spike_by"), key, micros),
    )


def _spell(seed: int, kind: str, share: float, key: Keys, micros: Micros) -> tuple[NDArray[np.bool_], Micros, Micros]:
    """Whether each moment lies in a spell of its block, and that spell's [start, end) in microseconds."""
    block = micros // BLOCK
    struck = uniform(channel(seed, f"fault.{kind}"), key, block) < share
    start = 0.45 * uniform(channel(seed, f"fault.{kind}.start"), key, block)
    length = 0.1 + 0.4 * uniform(channel(seed, f"fault.{kind}.length"), key, block)
    first = block * BLOCK + (start * BLOCK).astype(np.int64) // 1_000_000 * 1_000_000
    last = first + (length * BLOCK).astype(np.int64) // 1_000_000 * 1_000_000
    return struck & (micros >= first) & (micros < last), first, last
