"""What an operator sees, in a real Chromium."""

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import ConsoleMessage, Page, expect

from pulso.city.pack import pack_path
from tests.support.databases import TestDatabase
from tests.support.waiting import eventually
from tests.support.web_process import WebProcess, running_web
from tests.support.web_seed import Value, WebSeed

MINUTE = timedelta(minutes=1)
SPEED = '.tile[data-kpi="traffic_mean_speed"]'
LIVE = "#wall[data-link=live]"


def now() -> datetime:
    return datetime.now(UTC)


def speed(value: float, zone: str = "cdmx", *, seen: datetime | None = None) -> Value:
    """Of a window that stays open for the seconds a test takes, at whatever second of the minute it starts."""
    end = now().replace(second=0, microsecond=0) + 2 * MINUTE
    return Value("traffic_mean_speed", zone, value, end, observed_until=seen or now())


@pytest.fixture
def seed(database: TestDatabase) -> WebSeed:
    seed = WebSeed(database.dsn)
    seed.zones()
    return seed


@pytest.fixture
def web(database: TestDatabase, tmp_path: Path) -> Iterator[WebProcess]:
    with running_web(database.dsn, tmp_path) as web:
        yield web


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the browser complained about: errors of scripts, and anything a policy forbade."""
    heard: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "ERR_CONNECTION" not in message.text:
            heard.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard


async def open_wall(page: Page, web: WebProcess, path: str = "/") -> None:
    await page.goto(web.address + path)
    await page.wait_for_selector(LIVE, timeout=15_000)


async def text(page: Page, selector: str) -> str:
    return (await page.locator(selector).first.text_content()) or ""


# --- first paint ------------------------------------------------------------------------------------------------------


async def test_wall_shows_the_city_in_spanish(
    page: Page, web: WebProcess, seed: WebSeed, complaints: list[str]
) -> None:
    seed.city(now())
    await open_wall(page, web)
    assert page.url == f"{web.address}/wall"
    await expect(page.locator(".tile")).to_have_count(8)
    await expect(page.locator(f"{SPEED}[data-shown=ok] .unit")).to_have_text("km/h")
    await expect(page.locator(f"{SPEED} .age")).to_contain_text("hace")
    await expect(page.locator(".live")).to_contain_text("En vivo ·")
    await expect(page.locator(".district")).to_have_count(16)
    await expect(page.locator(".schematic")).to_contain_text("esquemático")
    await expect(page.locator(".map-steps i[data-on]")).to_have_count(1)
    await expect(page.locator(".incident").first).to_contain_text("Iztapalapa")
    await expect(page.locator(".network[data-family=traffic] .reporting")).to_have_text("160 de 160 reportan")
    await expect(page.locator('.tile[data-kpi="air_nom172"] .value')).to_have_text("Muy mala")
    assert await page.evaluate("document.documentElement.lang") == "es"
    assert await page.evaluate("document.fonts.check('16px Inter')")
    assert complaints == []


async def test_wall_speaks_english_when_asked(page: Page, web: WebProcess, seed: WebSeed) -> None:
    seed.city(now())
    await open_wall(page, web, "/?lang=en")
    await expect(page.locator(".live")).to_contain_text("Live ·")
    await expect(page.locator(f"{SPEED} h3")).to_have_text("Mean speed")
    await expect(page.locator(f"{SPEED} .age")).to_contain_text("ago")
    await expect(page.locator('.tile[data-kpi="air_nom172"] .value')).to_have_text("Very bad")
    assert await page.evaluate("document.documentElement.lang") == "en"


async def test_nothing_is_asked_of_anybody_else(page: Page, web: WebProcess) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await open_wall(page, web)
    assert [url for url in asked if not url.startswith((web.address, "data:"))] == []


SIZES = [(1920, 1080), (3840, 2160), (1536, 864), (1366, 768)]  # the third is 1080p at 125 %

# Elements whose text is wider than their box, or that reach out of the window.
CUT = """() => [...document.querySelectorAll('#wall :is([data-part], h1, h2, h3, .tile, .legend)')]
    .filter((one) => one.offsetParent && one.textContent.trim() && getComputedStyle(one).display !== 'inline')
    .filter((one) => {
        const box = one.getBoundingClientRect();
        const outside = box.left < -1 || box.right > innerWidth + 1 || box.bottom > innerHeight + 1;
        return outside || one.scrollWidth > one.clientWidth + 1;
    })
    .map((one) => `${one.className}: ${one.textContent}`)"""


NARROWED = """(share) => {
    document.querySelector('.ticker').style.paddingRight = `${(100 - share) * innerWidth / 100}px`;
    dispatchEvent(new Event('resize'));
}"""
TOO_WIDE = """() => {
    const box = document.querySelector('.incidents');
    const shown = [...box.children].filter((item) => !item.hidden);
    return shown.length < 2 ? 0 : box.scrollWidth - box.clientWidth;
}"""


@pytest.mark.parametrize("language", ["es", "en"])
async def test_nothing_is_cut_at_any_size(page: Page, web: WebProcess, seed: WebSeed, language: str) -> None:
    seed.city(now())
    end = now().replace(second=0, microsecond=0) + 90 * MINUTE  # after every window of the seed
    extremes = {  # the longest words there are
        "traffic_travel_time_index": 2.0,
        "waste_mean_fill": 70.0,
        "waste_overflow_rate": 12.3,
        "energy_demand": 123_456.0,
        "air_pm25_12h": 140.0,
        "air_nom172": 4.0,
    }
    seed.values(Value(kpi, "cdmx", value, end, observed_until=now()) for kpi, value in extremes.items())
    await open_wall(page, web, f"/wall?lang={language}")
    await page.wait_for_selector('.tile[data-kpi="air_nom172"][data-state=extreme]')
    await page.evaluate("document.fonts.ready")
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        assert await page.evaluate(CUT) == [], f"at {width} x {height}"
    for share in range(100, 40, -1):  # whatever else takes room: no incident is shown that does not fit
        await page.evaluate(NARROWED, share)
        assert await page.evaluate(TOO_WIDE) <= 1, f"incidents in {share} % of the line"


# --- live -------------------------------------------------------------------------------------------------------------


async def test_a_new_value_is_painted_in_place_within_a_second(page: Page, web: WebProcess, seed: WebSeed) -> None:
    seed.values([speed(31.4), speed(40.0, "coyoacan")])
    await open_wall(page, web)
    await expect(page.locator(f"{SPEED} .value")).to_have_text("31.4")
    element = await page.query_selector(f"{SPEED} .value")
    assert element is not None
    seed.values([speed(11.9)])
    started = time.monotonic()
    await expect(page.locator(f"{SPEED} .value")).to_have_text("11.9", timeout=2000)
    assert time.monotonic() - started < 1.5
    assert await element.evaluate("one => one.isConnected")
    await expect(page.locator(SPEED)).to_have_attribute("data-state", "bad")
    await expect(page.locator(f"{SPEED} .word")).to_have_text("Congestionado")


async def test_silence_is_said_with_since_when_and_no_number_is_left(
    page: Page, web: WebProcess, seed: WebSeed
) -> None:
    """The last observation is 86 seconds old when the page opens: four seconds later the value is no longer shown."""
    seen = now() - timedelta(seconds=86)
    seed.values([speed(31.4, seen=seen)])
    await open_wall(page, web)
    await page.wait_for_selector(f"{SPEED}[data-shown=stale]")
    assert await text(page, f"{SPEED} .value") == "—"
    clock = await page.evaluate(
        "at => new Intl.DateTimeFormat('es-MX', {timeZone: 'America/Mexico_City', hour: '2-digit', minute: '2-digit',"
        " hourCycle: 'h23'}).format(at)", seen.timestamp() * 1000,
    )  # fmt: skip
    await expect(page.locator(f"{SPEED} .word")).to_have_text(f"sin datos desde {clock}")
    await expect(page.locator(f"{SPEED} .unit")).to_contain_text("último 31.4")
    background = await page.locator(SPEED).evaluate("one => getComputedStyle(one).backgroundImage")
    assert "repeating-linear-gradient" in background


async def test_no_incidents_is_said_only_as_long_as_there_are_values_to_have_none_in(
    page: Page, web: WebProcess, seed: WebSeed
) -> None:
    """The page opens on an empty city, then a calm district reports, and falls silent four seconds later."""
    calm = page.locator(".incident.calm")
    await open_wall(page, web)
    await expect(calm).to_have_text("Sin datos de incidentes")
    seed.values([speed(40.0, "coyoacan", seen=now() - timedelta(seconds=84))])
    await expect(calm).to_have_text("Sin incidentes en las alcaldías")
    await expect(calm).to_have_attribute("data-state", "good")
    await expect(calm).to_have_text("Sin datos de incidentes", timeout=15_000)
    await expect(calm).to_have_attribute("data-state", "none")


async def test_too_little_data_is_said_with_its_coverage(page: Page, web: WebProcess, seed: WebSeed) -> None:
    end = now().replace(second=0, microsecond=0)
    seed.values([Value("traffic_mean_speed", "cdmx", None, end, coverage=0.38, observed_until=now())])
    await open_wall(page, web)
    await expect(page.locator(f"{SPEED} .word")).to_have_text("datos insuficientes · cobertura 38%")
    assert await text(page, f"{SPEED} .value") == "—"


async def test_names_are_text_never_markup(page: Page, database: TestDatabase, tmp_path: Path) -> None:
    evil = '<script>window.pwned=1</script><img src=x onerror="window.pwned=1">'
    city = Path(shutil.copytree(pack_path("cdmx"), tmp_path / "city"))
    document = (city / "city.toml").read_text()
    document = document.replace('name = "Iztapalapa"', f"name = '{evil}'", 1)
    (city / "city.toml").write_text(document.replace('name = "Ciudad de México"', f"name = '{evil}'"))
    seed = WebSeed(database.dsn)
    seed.zones()
    with running_web(database.dsn, tmp_path, str(city)) as web:
        seed.values([speed(5.0, "iztapalapa")])
        await open_wall(page, web)
        await expect(page.locator(".incident .zone").first).to_have_text(evil)
        assert await text(page, ".city") == evil
        assert await page.evaluate("window.pwned") is None


# --- losing and finding the connection --------------------------------------------------------------------------------


async def test_lost_server_is_said_within_5_seconds_and_healed_without_a_reload(
    page: Page, web: WebProcess, seed: WebSeed, complaints: list[str]
) -> None:
    seed.values([speed(31.4)])
    await open_wall(page, web)
    await expect(page.locator(f"{SPEED} .value")).to_have_text("31.4")
    await page.evaluate("window.notReloaded = true")
    web.stop()
    await expect(page.locator(".live")).to_contain_text("Sin conexión desde", timeout=5000)
    await expect(page.locator(".live")).to_contain_text("reintentando")
    assert "grayscale" in await page.locator(".columns").evaluate("one => getComputedStyle(one).filter")
    web.start()
    seed.values([speed(28.0)])
    await expect(page.locator(f"{SPEED} .value")).to_have_text("28.0", timeout=15_000)
    await page.wait_for_selector(LIVE)
    assert await page.evaluate("window.notReloaded") is True
    assert complaints == []


async def test_a_connection_that_dies_without_a_word_is_noticed_and_replaced(
    page: Page, web: WebProcess, seed: WebSeed
) -> None:
    seed.values([speed(31.4)])
    async with relay(web.port) as line:
        await page.goto(f"http://127.0.0.1:{line.port}/wall")
        await page.wait_for_selector(LIVE)
        line.silent = True
        await expect(page.locator(".live")).to_contain_text("Sin conexión desde", timeout=5000)
        line.silent = False
        await line.drop()
        await page.wait_for_selector(LIVE, timeout=15_000)


async def test_lost_database_is_said_and_healed(
    page: Page, web: WebProcess, seed: WebSeed, database: TestDatabase
) -> None:
    seed.values([speed(31.4)])
    await open_wall(page, web)
    database.kill()
    try:
        await expect(page.locator(".live")).to_contain_text("Base de datos sin respuesta desde", timeout=8000)
        assert web.status("/healthz") == 200
        assert web.status("/readyz") == web.status("/api/v1/things") == 503
    finally:
        database.start()
    await page.wait_for_selector(LIVE, timeout=15_000)
    await eventually(lambda: web.status("/readyz") == 200)


async def test_a_new_build_reloads_the_page(page: Page, database: TestDatabase, tmp_path: Path, seed: WebSeed) -> None:
    city = Path(shutil.copytree(pack_path("cdmx"), tmp_path / "city"))
    with running_web(database.dsn, tmp_path, str(city)) as web:
        await open_wall(page, web)
        await expect(page.locator(".tile")).to_have_count(8)
        web.stop()
        (city / "wall.toml").write_text('[[tile]]\nkpi = "traffic_mean_speed"\n')
        web.start()
        await expect(page.locator(".tile")).to_have_count(1, timeout=15_000)
        await page.wait_for_selector(LIVE)


class Relay:
    """A TCP relay that can swallow everything without closing."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.silent = False
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, there_writer]
        await asyncio.gather(self._copy(reader, there_writer), self._copy(there_reader, writer), return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if not self.silent:
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()

    async def drop(self) -> None:
        """Close what is open."""
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def relay(target: int) -> AsyncIterator[Relay]:
    line = Relay(target)
    server = await asyncio.start_server(line.accept, "127.0.0.1", 0, family=socket.AF_INET)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        await line.drop()
