"""Fixtures every test may ask for.

| fixture            | scope    | gives                                                                                |
| ------------------ | -------- | ------------------------------------------------------------------------------------ |
| `broker`           | function | a private Mosquitto: `.host`, `.port`, `.stop()`, `.kill()`, `.start()`              |
| `session_broker`   | session  | one Mosquitto for fixtures of a wider scope; it keeps what earlier tests retained    |
| `database`         | function | a migrated database: `.dsn`, `.settings`, `.query(sql)`, `.kill()`, `.start()`       |
| `empty_database`   | function | the same without a schema                                                            |
| `database_server`  | session  | `.new()`, a context manager of further databases                                     |
| `topic_prefix`     | function | a topic nobody else uses                                                             |
| `real_data`        | session  | directory of recorded series                                                         |
| `chromium`         | session  | the browser's program                                                                |
| `page`             | function | a Playwright page (asynchronous API), 1920 x 1080                                    |

Databases are on the embedded PostgreSQL; with `@pytest.mark.all_databases` the test runs on every kind there is.
PULSO_TEST_DATABASES=timescaledb (or embedded, or external for PULSO_TEST_DATABASE_URL) runs every test on that kind.
With PULSO_TEST_NO_SKIP=1 a test that would be skipped fails.
"""

import os
import secrets
import shutil
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest
from playwright.async_api import Page, async_playwright

from pulso.db import Database, open_database
from pulso.local.broker import find_mosquitto
from tests.support.browser import ARGUMENTS, find_chromium
from tests.support.databases import DatabaseServer, TestDatabase, external_address, running_server
from tests.support.servers import MosquittoBroker, scratch_directory

ROOT = Path(__file__).parents[1]
# How long an example takes says more about the machine than about the code, above all the first one, which imports.
hypothesis.settings.register_profile("pulso", deadline=None)
hypothesis.settings.load_profile("pulso")

_INSTALL = "run scripts/services.sh as root, or install it yourself"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "all_databases: run on every kind of database server there is")
    os.environ["PATH"] = f"{ROOT / '.services' / 'bin'}{os.pathsep}{os.environ['PATH']}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Say on which kinds of server a test that uses a database runs."""
    if "database_kind" not in metafunc.fixturenames:
        return
    chosen = os.environ.get("PULSO_TEST_DATABASES")
    if chosen:
        kinds = chosen.split(",")
    elif metafunc.definition.get_closest_marker("all_databases"):
        kinds = ["embedded", "timescaledb", *["external"] * bool(external_address())]
    else:
        kinds = ["embedded"]
    metafunc.parametrize("database_kind", kinds, scope="session")


# --- servers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _database_servers() -> Iterator[dict[str, DatabaseServer | None]]:
    """Servers by kind, started when first asked for."""
    with ExitStack() as stack:
        yield _Servers(stack)


class _Servers(dict[str, DatabaseServer | None]):
    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, kind: str) -> DatabaseServer | None:
        self[kind] = self._stack.enter_context(running_server(kind))
        return self[kind]


@pytest.fixture(scope="session")
def database_server(database_kind: str, _database_servers: dict[str, DatabaseServer | None]) -> DatabaseServer:
    """The server of the kind this test runs on."""
    server = _database_servers[database_kind]
    if server is None:
        pytest.skip(f"no {database_kind} server: {_INSTALL}")
    return server


@pytest.fixture
def database(database_server: DatabaseServer) -> Iterator[TestDatabase]:
    """A migrated database of this test alone."""
    with database_server.new() as database:
        yield database


@pytest.fixture
def empty_database(database_server: DatabaseServer) -> Iterator[TestDatabase]:
    """A database without a schema."""
    with database_server.new(empty=True) as database:
        yield database


@pytest.fixture
async def opened(database: TestDatabase) -> AsyncIterator[Database]:
    """The pool of connections of a service."""
    opened = await open_database(database.settings)
    yield opened
    await opened.close()


def _mosquitto() -> Iterator[MosquittoBroker]:
    program = find_mosquitto()
    if program is None:
        pytest.skip(f"no mosquitto: {_INSTALL}")
    home = scratch_directory("broker")
    broker = MosquittoBroker(program, home)
    broker.start()
    yield broker
    broker.kill()
    shutil.rmtree(home, ignore_errors=True)


broker = pytest.fixture(name="broker")(_mosquitto)
session_broker = pytest.fixture(scope="session", name="session_broker")(_mosquitto)


@pytest.fixture
def topic_prefix() -> str:
    """A topic prefix of this test alone, without a slash at its end."""
    return f"test/{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Recorded series beside the repository, or in PULSO_REAL_DATA; they are not part of it."""
    path = Path(os.environ.get("PULSO_REAL_DATA") or ROOT.parent / "shared" / "real")
    if not (path / "series").is_dir():
        pytest.skip(f"no recorded data in {path}: set PULSO_REAL_DATA")
    return path


# --- browser ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's program."""
    program = find_chromium()
    if program is None:
        pytest.skip(f"no Chromium: {_INSTALL}")
    return program


@pytest.fixture
async def page(chromium: Path) -> AsyncIterator[Page]:
    """A page of a new browser, of the size of a wall display."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield await browser.new_page(viewport={"width": 1920, "height": 1080})
        await browser.close()


# --- skipping -------------------------------------------------------------------------------------------------------


def _skipping_forbidden() -> bool:
    return os.environ.get("PULSO_TEST_NO_SKIP") == "1"


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and _skipping_forbidden():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipping is forbidden here (PULSO_TEST_NO_SKIP=1): {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tested, and what to install."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.line(f"{report.nodeid}: {str(reason).removeprefix('Skipped: ')}", red=True)
    terminalreporter.line(f"{len(skipped)} skipped; PULSO_TEST_NO_SKIP=1 makes them failures, as CI does", red=True)
