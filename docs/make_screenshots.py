"""Take the pictures of ``anychan serve`` that docs/guide/page.md shows: on a wide screen and on a phone.

python docs/make_screenshots.py [MODEL...]     run folders, model files or packaged models; none: all packaged ones

The photograph is scikit-image's cat, which is in the public domain (CC0). Needs the extra serve, scikit-image,
Playwright and Chromium. Not a part of `make docs`: another browser draws other bytes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parent / "figures"
NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


def ask_for_green(page: Any) -> None:
    """The example, first with all channels and then with green alone."""
    page.locator("#example").click()
    page.locator(".likely[data-channels='RGB']").wait_for()
    for channel, left in (("R", "GB"), ("B", "G")):
        page.locator("#channels").get_by_label(channel, exact=True).click()
        page.locator(f".likely[data-channels='{left}']").wait_for()


def main() -> None:
    from playwright.sync_api import sync_playwright

    program = next(path for name in NAMES if (path := shutil.which(name)))
    command = [sys.executable, "-m", "anychan", "serve", *sys.argv[1:], "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as driver:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        browser = driver.chromium.launch(executable_path=program, args=ARGUMENTS)
        for name, width, height in (("page", 1100, 800), ("page-phone", 375, 800)):
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(address)
            ask_for_green(page)
            page.screenshot(path=FIGURES / f"{name}.jpg", type="jpeg", quality=80, full_page=True)
        browser.close()
        server.terminate()


if __name__ == "__main__":
    main()
