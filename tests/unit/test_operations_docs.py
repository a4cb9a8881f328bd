"""The reference of operations says what the program says."""

from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import ingest.metrics  # noqa: F401 (registers them)
from pulso.capabilities import capability
from pulso.errors import ConfigurationError, RejectReason
from pulso.rejection import ADVICE

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "operations.md"


@pytest.mark.parametrize("reason", ADVICE)
def test_every_reason_is_explained_in_the_words_of_the_program(reason: RejectReason) -> None:
    words = ADVICE[reason]
    assert f"| `{reason}` | {words.meaning} | {words.remedy} |" in REFERENCE.read_text(encoding="utf-8")


def test_every_metric_of_ingest_is_explained() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    named = {family.name for family in REGISTRY.collect() if family.name.startswith("pulso_ingest_")}
    assert len(named) > 15
    assert not [name for name in named if f"_{name.removeprefix('pulso_ingest_')}" not in text]


@pytest.mark.parametrize("name", ["decode", "propose", "preview", "check_devices"])
def test_what_packages_do_for_each_other_is_found(name: str) -> None:
    assert callable(capability(name))


def test_what_nobody_does_is_said() -> None:
    with pytest.raises(ConfigurationError, match="nothing here can do 'dance'"):
        capability("dance")
