"""The usual pages of HTTP errors can be had in the language of who reads them."""

from __future__ import annotations

import json
import re
import sys
import typing as t
from pathlib import Path

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import default_exceptions
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound

import torsyq
from torsyq import abort
from torsyq import Flask
from torsyq import request
from torsyq.languages import error_texts
from torsyq.languages import get_language
from torsyq.languages import set_language
from torsyq.testing import FlaskClient

from .sockets import on_loop
from .sockets import Wire

TEXTS = Path(torsyq.__file__).parent / "error_texts"
LANGUAGES = sorted(file.stem for file in TEXTS.glob("*.json"))


@pytest.fixture
def app(app: Flask) -> Flask:
    app.config["ERROR_PAGE_LANGUAGES"] = ["kk", "ru", "en"]
    return app


def page_in(language: str | None, client: FlaskClient, path: str = "/nowhere") -> t.Any:
    headers = {} if language is None else {"Accept-Language": language}
    return client.get(path, headers=headers)


@pytest.mark.parametrize(
    ("accepted", "language", "title"),
    [
        ("kk", "kk", "Табылмады"),
        ("kk-KZ,kk;q=0.9,en;q=0.5", "kk", "Табылмады"),
        ("kk-KZ, en;q=0.5", "kk", "Табылмады"),
        ("ru-Cyrl-KZ, en;q=0.5", "ru", "Не найдено"),
        ("fr, ru;q=0.5", "ru", "Не найдено"),
        ("kk;q=0, en;q=0.5, ru;q=0.7", "ru", "Не найдено"),
        ("*", "kk", "Табылмады"),
        ("en-GB", "en", "Not Found"),
        ("fr", "kk", "Табылмады"),
        (None, "kk", "Табылмады"),
    ],
)
def test_the_browser_chooses_among_the_languages_of_the_site(
    anyclient: FlaskClient, accepted: str | None, language: str, title: str
) -> None:
    """The first one, where it likes none of them."""
    answer = page_in(accepted, anyclient)
    assert answer.status_code == 404
    assert f"<html lang={language}>\n<title>404 {title}</title>" in answer.text
    assert answer.headers["Content-Language"] == language
    assert answer.headers["Vary"] == "Accept-Language"
    assert answer.headers["Content-Length"] == str(len(answer.data))


def test_without_the_setting_the_pages_are_flasks(app: Flask) -> None:
    app.config["ERROR_PAGE_LANGUAGES"] = None
    answer = page_in("kk", app.test_client())
    expected = flask.Flask("other").test_client().get("/nowhere", headers={"Accept-Language": "kk"})
    assert (answer.data, [*answer.headers]) == (expected.data, [*expected.headers])


def test_an_app_may_have_defaults_without_the_setting() -> None:
    """As a subclass has that was written for Flask."""

    class Own(Flask):
        default_config = flask.Flask.default_config

    assert Own("own").test_client().get("/nowhere").status_code == 404


def test_a_page_in_english_is_flasks(client: FlaskClient) -> None:
    assert page_in("en", client).data == flask.Flask("other").test_client().get("/nowhere").data


@pytest.mark.parametrize(
    ("languages", "answered"), [("kk", "kk"), ("ru,kk", "kk"), ("ru, kk-KZ", "kk-KZ"), (",", "en")]
)
def test_languages_may_come_from_the_environment(
    app: Flask, monkeypatch: pytest.MonkeyPatch, languages: str, answered: str
) -> None:
    monkeypatch.setenv("FLASK_ERROR_PAGE_LANGUAGES", languages)
    app.config.from_prefixed_env()
    with app.test_request_context(headers={"Accept-Language": "kk"}):
        assert get_language() == answered


def test_a_long_tag_is_looked_up_in_few_steps(client: FlaskClient) -> None:
    """Each of its parts would take a copy of all before it: a minute for a tag of 1 MB."""
    steps = []

    def note(frame: object, event: str, arg: t.Any) -> None:
        if event == "c_call" and arg.__name__ == "rpartition":
            steps.append(arg)

    sys.setprofile(note)
    try:
        answer = page_in("-".join(["ru", *"a" * 500]), client)
    finally:
        sys.setprofile(None)
    assert answer.headers["Content-Language"] == "ru"
    assert len(steps) < 100


def test_a_language_without_texts_has_pages_in_english(app: Flask) -> None:
    app.config["ERROR_PAGE_LANGUAGES"] = ["fi", "kk"]
    answer = page_in("fi", app.test_client())
    assert "Not Found" in answer.text
    assert answer.headers["Content-Language"] == "en"


def test_a_language_of_a_region_is_for_all_who_speak_it(app: Flask) -> None:
    app.config["ERROR_PAGE_LANGUAGES"] = ["en", "kk-KZ"]
    answer = page_in("kk", app.test_client())
    assert "<html lang=kk>" in answer.text
    assert answer.headers["Content-Language"] == "kk"


def test_an_answer_to_head_tells_of_the_page_it_leaves_out(client: FlaskClient) -> None:
    whole = page_in("kk", client)
    head = client.head("/nowhere", headers={"Accept-Language": "kk"})
    assert head.data == b""
    assert head.headers["Content-Length"] == whole.headers["Content-Length"]
    assert head.headers["Content-Language"] == "kk"


def test_a_text_of_the_apps_own_stays_as_it_is(app: Flask, client: FlaskClient) -> None:
    @app.get("/")
    def view() -> str:
        abort(404, "Ondai kitap joq.")

    answer = page_in("ru", client, "/")
    assert "<h1>Не найдено</h1>\n<p>Ondai kitap joq.</p>" in answer.text


def test_a_page_of_the_apps_own_stays_as_it_is(app: Flask, client: FlaskClient) -> None:
    class Own(NotFound):
        def get_body(self, environ: t.Any = None, scope: t.Any = None) -> str:
            return "own"

    @app.get("/")
    def view() -> str:
        raise Own

    @app.get("/response")
    def response() -> str:
        abort(app.make_response(("made", 404)))

    for path, text in [("/", "own"), ("/response", "made")]:
        answer = page_in("kk", client, path)
        assert answer.text == text
        assert "Content-Language" not in answer.headers


def test_an_error_nobody_handled_is_told_of_in_the_visitors_language(app: Flask) -> None:
    app.testing = False

    @app.get("/")
    def view() -> str:
        raise ValueError

    assert "Сервердің ішкі қатесі" in page_in("kk", app.test_client(), "/").text


def test_headers_of_the_error_stay(app: Flask, client: FlaskClient) -> None:
    app.post("/")(lambda: "")
    answer = page_in("ru", client, "/")
    assert "Метод не разрешён" in answer.text
    assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


def test_an_app_may_choose_the_language(app: Flask, client: FlaskClient) -> None:
    @app.before_request
    def choose() -> None:
        set_language(request.args["language"])

    @app.get("/")
    def view() -> str:
        return get_language()

    assert client.get("/?language=ru", headers={"Accept-Language": "kk"}).text == "ru"
    answer = client.get("/nowhere?language=ru", headers={"Accept-Language": "kk"})
    assert "Не найдено" in answer.text


@pytest.mark.parametrize("language", ["../../../etc/passwd", "kk/../ru", "", "\0", "kk.json"])
def test_a_language_never_leads_to_a_file(app: Flask, client: FlaskClient, language: str) -> None:
    """An app may take it from a client as it is."""
    app.before_request(lambda: set_language(language))
    answer = client.get("/nowhere")
    assert "<title>404 Not Found</title>" in answer.text
    assert answer.headers["Content-Language"] == "en"


def test_a_handler_asks_for_the_texts(app: Flask, client: FlaskClient) -> None:
    @app.errorhandler(HTTPException)
    def as_json(error: HTTPException) -> t.Any:
        name, description = error_texts(error)
        return {"error": name, "description": description}, error.code or 500

    @app.get("/")
    def view() -> str:
        abort(418, "Qymyz only.")

    @app.get("/form")
    def form() -> str:
        return request.form["name"]

    assert page_in("tr, kk;q=0.1", client, "/").json == {
        "error": "Мен шәйнекпін",
        "description": "Qymyz only.",
    }
    # The class of this one writes its description itself, where it tells the key.
    assert page_in("ru", client, "/form").json["error"] == "Неверный запрос"


def test_texts_may_be_asked_for_in_any_language() -> None:
    """Outside of a request too, for a language that is given."""
    assert error_texts(NotFound(), "de-AT")[0] == "Nicht gefunden"
    assert error_texts(BadRequest("Own."), "fr") == ("Requête incorrecte", "Own.")
    assert error_texts(NotFound(), "fi") == ("Not Found", NotFound.description)

    class Unusual(HTTPException):
        code = 499
        description = None

    assert error_texts(Unusual(), "kk") == ("Unknown Error", "")


@given(accepted=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_whatever_a_browser_accepts_it_gets_a_page(accepted: str) -> None:
    app = Flask("tests.app")
    app.config["ERROR_PAGE_LANGUAGES"] = ["kk", "ru", "en"]
    answer = page_in(accepted, app.test_client())
    assert answer.headers["Content-Language"] in {"kk", "ru", "en"}
    assert answer.status_code == 404


@on_loop
async def test_a_websocket_is_refused_in_the_visitors_language(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        abort(403)

    async with Wire(app, headers={"Accept-Language": "ru"}) as wire:
        status, sent, body = await wire.refused()
    assert (status, sent["content-language"]) == (403, "ru")
    assert "Доступ запрещён" in body


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_error_has_its_texts_in_every_language(language: str) -> None:
    texts = json.loads((TEXTS / f"{language}.json").read_text("utf-8"))
    assert {*texts} == {str(code) for code in default_exceptions}
    names = [name for name, _ in texts.values()]
    assert len({*names}) == len(names)
    for name, description in texts.values():
        assert re.fullmatch(r"[^\W\d_][^.<>&\n]+[^\W\d_)]", name), name
        assert re.fullmatch(r"[^\W\d_][^<>&\n]+\.", description), description


def test_every_language_that_has_texts_can_be_chosen() -> None:
    assert {"kk", "ru"} < {*LANGUAGES}
    for language in LANGUAGES:
        assert error_texts(NotFound(), language)[0] != "Not Found"
