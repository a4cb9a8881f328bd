"""What is written about the settings is what the classes say."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_reference", ROOT / "scripts" / "settings_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_environment_is_up_to_date(reference: ModuleType) -> None:
    written = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert written == reference.render(), "run `make reference`"


def test_every_setting_says_what_it_means(reference: ModuleType) -> None:
    groups: list[type[BaseSettings]] = reference.groups()
    silent = [
        f"{group.__name__}.{name}" for group in groups for name, f in group.model_fields.items() if not f.description
    ]
    assert silent == []


def test_the_defaults_in_the_example_are_accepted(reference: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each commented line, uncommented, gives the same settings as leaving it out."""
    lines = re.findall(r"^# (PULSO_\w+)=(.+)$", reference.render(), re.MULTILINE)
    groups: list[type[BaseSettings]] = reference.groups()
    plain = [group() for group in groups]
    for name, value in lines:
        monkeypatch.setenv(name, value)
    assert [group() for group in groups] == plain
