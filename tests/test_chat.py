"""The chat of ``examples/chat``: its rules, and its page in a real browser with two tabs."""

from __future__ import annotations

import collections.abc as cabc
import importlib
import json
import sys
import types
import typing as t
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver import ChromeOptions
from selenium.webdriver import Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.servers import free_port
from tests.servers import PATIENCE
from tests.servers import Process
from tests.servers import process
from tests.sockets import on_loop
from tests.sockets import Wire
from tests.test_browser import ARGUMENTS
from tests.test_browser import CHROMEDRIVER
from tests.test_browser import CHROMIUM
from tests.test_channels import server as server
from torsyq import Flask

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(params=["memory", "redis"])
def chat(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> cabc.Iterator[types.ModuleType]:
    if request.param == "redis":
        monkeypatch.setenv("CHAT_REDIS", request.getfixturevalue("server").url)
    monkeypatch.syspath_prepend(EXAMPLES)
    chat = importlib.import_module("chat")
    yield chat
    chat.talk.close_sync()
    chat.door.close_sync()
    del sys.modules["chat"]


@pytest.fixture
def app(chat: types.ModuleType) -> Flask:
    return t.cast("Flask", chat.app)


def visitor(app: Flask, name: str) -> dict[str, str]:
    """The headers of a browser whose user came in under that name."""
    client = app.test_client()
    answer = client.post("/", data={"name": name, "room": "hearth"})
    assert answer.headers["Location"] == "/rooms/hearth"
    cookie = client.get_cookie("session")
    assert cookie is not None
    return {"Cookie": f"session={cookie.value}", "Origin": "http://localhost"}


async def heard(wire: Wire) -> tuple[str, str, str]:
    message = json.loads(await wire.hear())
    return message["kind"], message["name"], message["text"]


def test_a_name_is_asked_for_first(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/rooms/stars").headers["Location"] == "/?room=stars"
    assert 'value="stars" checked' in client.get("/?room=stars").text
    assert client.get("/rooms/cellar").status_code == 404
    for form in {"name": "  ", "room": "stars"}, {"name": "Aru", "room": "cellar"}, {}:
        assert client.post("/", data=form).status_code == 400
    client.post("/", data={"name": f"  Aru {'x' * 50}", "room": "stars"})
    page = client.get("/rooms/stars").text
    assert f'data-name="Aru {"x" * 20}"' in page
    assert 'data-url="ws://localhost/rooms/stars/talk"' in page


@on_loop
async def test_what_one_says_all_of_the_room_hear(app: Flask) -> None:
    aru, bek = visitor(app, "Aru"), visitor(app, "Bek")
    async with Wire(app, "/rooms/hearth/talk", headers=aru) as one:
        await one.accepted()
        assert await heard(one) == ("came", "Aru", "")
        async with Wire(app, "/rooms/hearth/talk", headers=bek) as two:
            await two.accepted()
            assert await heard(one) == ("came", "Bek", "")
            assert await heard(two) == ("came", "Bek", "")
            async with Wire(app, "/rooms/road/talk", headers=bek) as elsewhere:
                await elsewhere.accepted()
                assert await heard(elsewhere) == ("came", "Bek", "")
                one.say("  сәлем ")
                one.say("   ")
                one.say("x" * 1500)
                for wire in one, two:
                    assert await heard(wire) == ("said", "Aru", "сәлем")
                    assert await heard(wire) == ("said", "Aru", "x" * 1000)
                assert elsewhere.from_app.empty()
                elsewhere.leave()
            two.leave()
        assert await heard(one) == ("left", "Bek", "")
        one.leave()
    async with Wire(app, "/rooms/hearth/talk", headers=bek) as later:
        await later.accepted()
        # What was said is kept, who came and went is not.
        found = [await heard(later) for _ in range(3)]
        assert sorted(found) == [
            ("came", "Bek", ""),
            ("said", "Aru", "x" * 1000),
            ("said", "Aru", "сәлем"),
        ]
        later.leave()


@on_loop
async def test_who_has_no_seat_is_turned_away(app: Flask) -> None:
    aru = visitor(app, "Aru")
    for path, headers, status in (
        ("/rooms/hearth/talk", {"Origin": "http://localhost"}, 403),
        ("/rooms/hearth/talk", {**aru, "Origin": "http://evil.example"}, 403),
        ("/rooms/hearth/talk", {"Cookie": aru["Cookie"]}, 403),
        ("/rooms/cellar/talk", aru, 404),
    ):
        async with Wire(app, path, headers=headers) as wire:
            assert (await wire.refused())[0] == status


# In a browser

browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER),
    reason="Chromium is absent. On Debian: apt-get install chromium chromium-driver",
)


class Served(t.NamedTuple):
    port: int
    folder: Path

    def __call__(self) -> t.ContextManager[Process]:
        command = ("-m", "uvicorn", "chat:app", "--app-dir", str(EXAMPLES))
        return process(self.folder, *command, "--port", str(self.port), CHAT_SECRET_KEY='"kept"')


@pytest.fixture
def tabs(tmp_path: Path) -> cabc.Iterator[list[Chrome]]:
    """Two browsers, each with its own cookies: one with a wide screen, one with a phone's."""
    opened = []
    try:
        for number, size in enumerate(["1280,900", "400,850"]):
            options = ChromeOptions()
            options.binary_location = str(CHROMIUM)
            options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
            arguments = [a for a in ARGUMENTS if not a.startswith("--window-size")]
            profile = f"--user-data-dir={tmp_path / f'profile-{number}'}"
            for argument in (*arguments, f"--window-size={size}", profile):
                options.add_argument(argument)
            opened.append(Chrome(options=options, service=Service(str(CHROMEDRIVER))))
        yield opened
    finally:
        for driver in opened:
            driver.quit()


def wait(tab: Chrome, what: str, check: t.Callable[[], t.Any]) -> None:
    WebDriverWait(tab, PATIENCE).until(lambda _: check(), what)


def come_in(tab: Chrome, address: str, name: str) -> None:
    tab.get(address)
    tab.find_element(By.ID, "name").send_keys(name)
    tab.find_element(By.CSS_SELECTOR, "form .button").click()
    connected(tab)


def connected(tab: Chrome) -> None:
    wait(tab, "a connection", lambda: tab.find_elements(By.CSS_SELECTOR, ".state.open"))


def say(tab: Chrome, text: str) -> None:
    tab.find_element(By.ID, "text").send_keys(text, Keys.ENTER)


def said(tab: Chrome) -> list[str]:
    script = "return [...document.querySelectorAll('.what')].map(item => item.textContent)"
    return t.cast("list[str]", tab.execute_script(script))


def wait_for_words(tab: Chrome, words: list[str]) -> None:
    wait(tab, f"{words} to be said", lambda: said(tab) == words)


@browser
def test_two_visitors_talk_and_the_room_remembers(tabs: list[Chrome], tmp_path: Path) -> None:
    one, two = tabs
    serve = Served(free_port(), tmp_path)
    address = f"http://127.0.0.1:{serve.port}"
    with serve() as server:
        server.wait_for(serve.port)
        come_in(one, address, "Айша")
        come_in(two, address, "Bek")
        wait(one, "Bek", lambda: "Bek sat down" in one.find_element(By.ID, "messages").text)
        words = ["Қал қалай?", "Жақсы! <b>And you?</b>", "The tea is hot."]
        say(one, words[0])
        wait_for_words(two, words[:1])
        say(two, words[1])
        wait_for_words(one, words[:2])
        say(one, words[2])
        for tab in tabs:
            wait_for_words(tab, words)
            assert not tab.find_elements(By.CSS_SELECTOR, ".what b")
            assert tab.execute_script(
                "return document.documentElement.scrollWidth <= window.innerWidth"
            )
        mine = [item.text for item in two.find_elements(By.CSS_SELECTOR, ".mine .what")]
        assert mine == words[1:2]

        two.refresh()
        connected(two)
        wait_for_words(two, words)
        for tab in tabs:
            assert tab.get_log("browser") == []  # type: ignore[no-untyped-call]

    # The server goes, and comes back without its history.
    wait(one, "the loss", lambda: one.find_elements(By.CSS_SELECTOR, ".state.lost"))
    assert not one.find_element(By.CSS_SELECTOR, "#say button").is_enabled()
    with serve() as server:
        server.wait_for(serve.port)
        for tab in tabs:
            connected(tab)
        say(two, "Still there?")
        wait_for_words(one, [*words, "Still there?"])
