"""Pictures of the running wall for the documentation: `python scripts/screenshots.py http://127.0.0.1:8050`.

Writes docs/img/wall.png (Spanish) and docs/img/wall-en.png (English). Needs Playwright and a Chromium.
"""

import argparse
import asyncio
import shutil
from pathlib import Path

from playwright.async_api import Browser, async_playwright

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_PAGES = {"wall.png": "/wall", "wall-en.png": "/wall?lang=en"}


async def take(address: str, directory: Path, program: str | None, width: int, height: int) -> None:
    """Open each page, wait until it is live, and save what it shows."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        for name, path in _PAGES.items():
            await _take_one(browser, f"{address.rstrip('/')}{path}", directory / name, width, height)
        await browser.close()


async def _take_one(browser: Browser, address: str, file: Path, width: int, height: int) -> None:
    page = await browser.new_page(viewport={"width": width, "height": height})
    await page.goto(address)
    await page.wait_for_selector("#wall[data-link=live] .tile[data-shown=ok]", timeout=30_000)
    await page.evaluate("document.fonts.ready")
    await page.wait_for_timeout(1500)
    await page.screenshot(path=file)
    await page.close()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:8050", help="where the web process listens")
    parser.add_argument("--directory", type=Path, default=Path(__file__).parents[1] / "docs" / "img")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser's program")
    parser.add_argument("--size", default="1920x1080", help="width x height in pixels")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    width, height = map(int, options.size.split("x"))
    asyncio.run(take(options.address, options.directory, options.chromium, width, height))


if __name__ == "__main__":
    main()
