"""The journal Steppe, served by ``torsyq run``, in a real browser."""

from __future__ import annotations

import collections.abc as cabc
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver import ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

EXAMPLES = Path(__file__).parents[1] / "examples"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMEDRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER),
    reason="Chromium is absent. On Debian: apt-get install chromium chromium-driver",
)

# Headless, still (a text that fades in cannot be read), and without calls home.
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
    "--lang=en",
    "--window-size=1280,1000",
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> cabc.Iterator[str]:
    """The journal, with an instance folder of its own, served by a process of its own."""
    instance = tmp_path_factory.mktemp("instance")
    app = f"steppe:create_app({str(instance)!r})"
    command = [sys.executable, "-m", "torsyq", "--app", app, "run", "--port", "0"]
    with subprocess.Popen(
        command, cwd=EXAMPLES, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout
        try:
            lines = []
            for line in server.stdout:
                lines.append(line)
                if match := re.search(r"Running on (http://[\d.:]+)", line):
                    yield match[1]
                    break
            else:
                pytest.fail("the server did not start:\n" + "".join(lines))
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> cabc.Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    driver = Chrome(options=options, service=Service(str(CHROMEDRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


class Visitor:
    """What a person does with a page: read, click, fill in."""

    def __init__(self, chromium: Chrome, address: str) -> None:
        self.chromium = chromium
        self.address = address

    def open(self, path: str) -> None:
        self.chromium.get(self.address + path)

    def click(self, css: str) -> None:
        """Click and wait until the page that follows is there."""
        page = self.chromium.find_element(By.TAG_NAME, "html")
        self.chromium.find_element(By.CSS_SELECTOR, css).click()
        WebDriverWait(self.chromium, 20).until(
            lambda driver: (
                driver.find_element(By.TAG_NAME, "html") != page
                and driver.execute_script("return document.readyState") == "complete"
            )
        )

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            field = self.chromium.find_element(By.NAME, name)
            if field.get_attribute("type") != "file":
                field.clear()
            field.send_keys(value)

    def text(self, css: str) -> str:
        return self.chromium.find_element(By.CSS_SELECTOR, css).text

    def sees(self, css: str) -> bool:
        return bool(self.chromium.find_elements(By.CSS_SELECTOR, css))

    def ask(self, script: str) -> object:
        return self.chromium.execute_script(f"return {script}")


@pytest.fixture
def visitor(chromium: Chrome, address: str) -> cabc.Iterator[Visitor]:
    """A visitor without cookies; whatever the browser complains of fails the test."""
    chromium.get(address)
    chromium.delete_all_cookies()
    chromium.get_log("browser")  # type: ignore[no-untyped-call]
    yield Visitor(chromium, address)
    assert chromium.get_log("browser") == []  # type: ignore[no-untyped-call]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture of three by two turquoise pixels that any browser can decode."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + end

    header = struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\x00" + b"\x00\xaf\xca" * 3) * 2)
    path = tmp_path / "my photo.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    return path


def test_register_log_in_post_with_a_picture_and_log_out(visitor: Visitor, photo: Path) -> None:
    visitor.open("/")
    assert visitor.text("h1") == "Stories from the wide land"

    visitor.click("nav a[href='/account/register']")
    visitor.fill(name="Айша", password="open sesame")
    visitor.click("main form button")
    assert visitor.text(".flash.success") == "Welcome, Айша! The steppe is yours."

    visitor.click("nav form button")
    assert visitor.text(".flash.success") == "You are logged out. Come back soon!"
    assert not visitor.sees("nav a[href='/new']")

    visitor.click("nav a[href='/account/login']")
    assert not visitor.sees(".flash")
    visitor.fill(name="айша", password="open sesame")
    visitor.click("main form button")
    assert visitor.text(".flash.success") == "Welcome back, Айша!"

    visitor.click("nav a[href='/new']")
    visitor.fill(
        title="To the sea that was", place="Aral", body="Ships on sand.", picture=str(photo)
    )
    visitor.click("main form button")
    assert visitor.text(".flash.success") == "Your entry is out on the steppe."
    assert visitor.text("h1") == "To the sea that was"
    assert visitor.ask("document.querySelector('figure img').naturalWidth") == 3

    visitor.open("/?q=SHIPS")
    assert visitor.text(".card mark") == "Ships"
    visitor.click(".card h2 a")
    visitor.click("main form .danger")
    assert visitor.text(".flash.success") == "The entry is gone with the wind."

    visitor.click("nav form button")
    assert visitor.sees("nav a[href='/account/login']")


def test_language_and_theme_change_at_a_click(visitor: Visitor) -> None:
    visitor.open("/")
    day = visitor.ask("getComputedStyle(document.body).backgroundColor")
    visitor.click("footer [value='kk']")
    assert visitor.text("h1") == "Кең даладан жеткен әңгімелер"
    assert visitor.ask("document.documentElement.lang") == "kk"
    visitor.click("footer [value='dark']")
    assert visitor.ask("getComputedStyle(document.body).backgroundColor") != day
    assert visitor.text("footer [value='dark']") == "Қараңғы"


@pytest.mark.parametrize("path", ["/", "/entry/1", "/account/register"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_page_is_wider_than_the_screen(visitor: Visitor, width: int, path: str) -> None:
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    visitor.chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        visitor.open(path)
        assert visitor.ask("document.documentElement.scrollWidth <= window.innerWidth")
    finally:
        visitor.chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_every_landscape_is_drawn(visitor: Visitor) -> None:
    visitor.open("/")
    visitor.ask("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    WebDriverWait(visitor.chromium, 20).until(
        lambda _: visitor.ask("[...document.images].every(image => image.complete)")
    )
    assert visitor.ask("[...document.images].every(image => image.naturalWidth > 0)")
    assert visitor.ask("document.querySelectorAll('.card img').length") == 7
