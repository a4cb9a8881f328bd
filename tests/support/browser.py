"""Chromium for the tests, driven by Playwright."""

import os
import shutil
from pathlib import Path

# The sandbox does not work for root or in most containers; the rest keeps the browser from calling out, which a
# machine without a network answers slowly.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--hide-scrollbars",
)


def find_chromium() -> Path | None:
    """The browser's program: PULSO_TEST_CHROMIUM, or the first installed one."""
    names = (os.environ.get("PULSO_TEST_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    return Path(found) if found else None
