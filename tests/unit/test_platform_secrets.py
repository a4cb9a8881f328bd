"""Passwords do not come out in messages and logs."""

import logging

import pytest
import structlog

from pulso import logs
from pulso.db.connection import conninfo
from pulso.errors import ConfigurationError
from pulso.settings import DatabaseSettings, load

SECRET = "hunter2"


@pytest.mark.parametrize("json", [True, False])
def test_a_traceback_shows_no_local_variables(json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(password: str) -> None:
        raise OSError("it broke")

    root = logging.getLogger()
    before = root.handlers, root.level
    try:
        logs.configure("test", json=json)
        for log in (structlog.get_logger(), logging.getLogger("asyncio")):
            try:
                fail("hunt" + "er2")
            except OSError:
                log.exception("failed")
    finally:
        root.handlers, root.level = before
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()

    written = capsys.readouterr().err
    assert written.count("it broke") >= 2
    assert SECRET not in written


@pytest.mark.parametrize("address", [f"postgres//pulso:{SECRET}@host/db", f"host=x password='{SECRET} user=y", SECRET])
def test_an_unreadable_address_is_a_configuration_fault_that_does_not_repeat_it(address: str) -> None:
    (settings,) = load(DatabaseSettings, DatabaseSettings={"url": address})
    with pytest.raises(ConfigurationError) as caught:
        conninfo(settings)

    assert "PULSO_DB_URL" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_options_of_the_address_are_kept_beside_ours() -> None:
    (settings,) = load(DatabaseSettings, DatabaseSettings={"url": "postgresql://h/d?options=-c%20search_path%3Dx"})
    assert "search_path=x" in conninfo(settings)
    assert "statement_timeout=30000" in conninfo(settings)
