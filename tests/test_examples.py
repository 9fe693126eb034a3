"""The programs of ``examples/``, on Torsyq and on the Flask it replaces."""

from __future__ import annotations

import collections.abc as cabc
import importlib
import io
import re
import sys
import types
import typing as t
from pathlib import Path

import pytest

from .protocols import framework_of
from .protocols import FRAMEWORKS

if t.TYPE_CHECKING:
    from torsyq import Flask
    from torsyq.testing import FlaskClient

EXAMPLES = Path(__file__).parents[1] / "examples"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
STORY = {"title": "A ride", "place": "Ұлытау", "body": "One <b>\n\nTwo & three"}


def forget(name: str) -> None:
    for module in [key for key in sys.modules if key.partition(".")[0] == name]:
        del sys.modules[module]


@pytest.fixture(params=FRAMEWORKS, scope="module")
def framework(request: pytest.FixtureRequest) -> cabc.Iterator[types.ModuleType]:
    """The module that ``import flask`` means in the examples, over each protocol in turn."""
    with pytest.MonkeyPatch.context() as patch:
        module = framework_of(request.param, patch)
        patch.syspath_prepend(EXAMPLES)
        yield module
        forget("steppe")


@pytest.fixture
def app(framework: types.ModuleType, tmp_path: Path) -> Flask:
    """A journal of its own for each test, with nothing in it."""
    config = {"SAMPLE": False, "PER_PAGE": 2, "PASSWORD_METHOD": "pbkdf2:sha256:1"}
    app = importlib.import_module("steppe").create_app(str(tmp_path), TESTING=True, **config)
    assert isinstance(app, framework.Flask)
    return t.cast("Flask", app)


@pytest.fixture
def client(app: Flask) -> t.Any:
    return app.test_client()


def post(client: FlaskClient, url: str, data: dict[str, t.Any], page: str = "/") -> t.Any:
    """Send a form as a browser does, with the token that a page of the site gave it."""
    match = re.search(r'name="token" value="([^"]+)"', client.get(page).text)
    assert match
    return client.post(url, data={"token": match[1], **data}, follow_redirects=True)


def register(client: FlaskClient, name: str = "Ann") -> t.Any:
    return post(client, "/account/register", {"name": name, "password": "open sesame"})


@pytest.fixture
def ann(client: FlaskClient) -> t.Any:
    """A browser in which Ann has registered, and so is logged in."""
    register(client)
    return client


# hello.py


def test_hello_is_twenty_lines_and_runs() -> None:
    path = EXAMPLES / "hello.py"
    source = path.read_text("utf-8")
    names: dict[str, t.Any] = {"__name__": "hello"}
    exec(compile(source, path, "exec"), names)
    client = names["app"].test_client()
    assert len(source.splitlines()) == 20
    assert client.get("/?name=<b>").text == "<h1>Сәлем, &lt;b&gt;!</h1>"
    assert client.get("/ride/3").json == {"days": 3, "kilometres": 180}
    assert client.get("/nowhere").status_code == 404
    assert client.get("/nowhere").text == "<p>No road leads here.</p>"


# Steppe: the first start


def test_the_first_start_makes_the_instance_and_the_second_keeps_it(
    framework: types.ModuleType, tmp_path: Path
) -> None:
    create_app = importlib.import_module("steppe").create_app
    first = create_app(str(tmp_path), PASSWORD_METHOD="pbkdf2:sha256:1")
    assert {path.name for path in tmp_path.iterdir()} == {"steppe.sqlite", "uploads", "secret_key"}
    assert (tmp_path / "secret_key").stat().st_mode & 0o77 == 0
    assert "Apples at the foot of the mountains" in first.test_client().get("/").text
    register(first.test_client())
    second = create_app(str(tmp_path))
    assert second.secret_key == first.secret_key
    assert second.test_client().get("/by/Ann").status_code == 200


@pytest.mark.usefixtures("framework")
def test_a_key_that_another_process_has_made_meanwhile_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_key = importlib.import_module("steppe.guard").own_key
    (tmp_path / "key").write_text("theirs")
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert own_key(tmp_path / "key") == "theirs"
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_init_db_makes_the_database_anew(app: Flask, ann: FlaskClient) -> None:
    result = app.test_cli_runner().invoke(args=["init-db", "--sample", "--yes"])
    assert result.exit_code == 0
    assert result.output == f"Made {app.config['DATABASE']}.\n"
    assert ann.get("/by/Ann").status_code == 404
    assert ann.get("/by/Marta").status_code == 200


def test_init_db_asks_first(app: Flask, ann: FlaskClient) -> None:
    result = app.test_cli_runner().invoke(args=["init-db"], input="n\n")
    assert result.exit_code == 1
    assert ann.get("/by/Ann").status_code == 200


def test_configuration_is_read_from_the_environment(
    framework: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPPE_PER_PAGE", "1")
    app = importlib.import_module("steppe").create_app(str(tmp_path))
    assert app.test_client().get("/").text.count("<article") == 1


# Steppe: accounts


def test_registering_logs_in_and_says_so(client: FlaskClient) -> None:
    page = register(client, "Айша")
    assert page.status_code == 200
    assert "Welcome, Айша! The steppe is yours." in page.text
    assert "Log out" in page.text
    assert "Welcome" not in client.get("/").text


@pytest.mark.parametrize(
    ("name", "password", "message"),
    [
        ("A", "open sesame", "2 to 40 characters"),
        ("A/B", "open sesame", "without a slash"),
        ("Bek", "short", "at least 8 characters"),
        ("ANN", "open sesame", "This name is taken"),
    ],
)
def test_a_bad_registration_is_explained(
    app: Flask, ann: FlaskClient, name: str, password: str, message: str
) -> None:
    other = app.test_client()
    page = post(other, "/account/register", {"name": name, "password": password})
    assert page.status_code == 422
    assert message in page.text
    assert "Log out" not in other.get("/").text


def test_logging_out_and_in(ann: FlaskClient) -> None:
    assert "You are logged out" in post(ann, "/account/logout", {}).text
    assert "Log out" not in ann.get("/").text
    wrong = post(ann, "/account/login", {"name": "ann", "password": "close sesame"})
    assert wrong.status_code == 422
    assert "do not belong together" in wrong.text
    assert (
        "Welcome back, Ann!"
        in post(ann, "/account/login", {"name": "ann", "password": "open sesame"}).text
    )


def test_an_unknown_name_is_refused_like_a_wrong_password(client: FlaskClient) -> None:
    page = post(client, "/account/login", {"name": "nobody", "password": "nobody"})
    assert page.status_code == 422
    assert "do not belong together" in page.text


def test_a_password_is_not_stored_as_it_is(app: Flask, ann: FlaskClient) -> None:
    assert b"open sesame" not in Path(app.config["DATABASE"]).read_bytes()


@pytest.mark.parametrize("method", ["get", "post"])
def test_writing_leads_to_the_login_and_back(app: Flask, ann: FlaskClient, method: str) -> None:
    other = app.test_client()
    if method == "get":
        asked = other.get("/new", follow_redirects=True)
    else:
        asked = post(other, "/new", STORY)
    assert asked.request.path == "/account/login"
    assert "Log in first" in asked.text
    data = {"name": "Ann", "password": "open sesame"}
    assert post(other, "/account/login?next=/new", data).request.path == "/new"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "/\nx", "new", ""]
)
def test_a_login_never_leads_to_another_site(app: Flask, ann: FlaskClient, target: str) -> None:
    other = app.test_client()
    other.get("/")
    with other.session_transaction() as session:
        token = session["token"]
    data = {"name": "Ann", "password": "open sesame", "token": token}
    response = other.post("/account/login", query_string={"next": target}, data=data)
    assert response.location == "/"


# Steppe: entries


def test_an_entry_is_published_escaped_and_in_paragraphs(ann: FlaskClient) -> None:
    page = post(ann, "/new", STORY)
    assert page.request.path == "/entry/1"
    assert "Your entry is out on the steppe." in page.text
    assert "<p>One &lt;b&gt;</p>\n<p>Two &amp; three</p>" in page.text
    assert "/landscape/1.svg" in page.text


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("title", " ", "Please fill this in."),
        ("place", "x" * 61, "Please keep to 60 characters."),
        ("picture", b"<svg/>", "not a PNG, JPEG, GIF or WebP picture"),
    ],
)
def test_a_bad_entry_is_explained_and_nothing_lost(
    app: Flask, ann: FlaskClient, field: str, value: str | bytes, message: str
) -> None:
    sent = (io.BytesIO(value), "a.png") if isinstance(value, bytes) else value
    page = post(ann, "/new", {**STORY, field: sent})
    assert page.status_code == 422
    assert message in page.text
    assert "Two &amp; three" in page.text
    assert ann.get("/entry/1").status_code == 404
    assert not list(Path(app.config["UPLOADS"]).iterdir())


@pytest.mark.parametrize(
    ("head", "extension", "mimetype"),
    [
        (PNG, "png", "image/png"),
        (b"\xff\xd8\xff\xe0", "jpg", "image/jpeg"),
        (b"GIF89a", "gif", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "webp", "image/webp"),
    ],
)
def test_a_picture_is_kept_under_a_safe_name_and_served(
    app: Flask, ann: FlaskClient, head: bytes, extension: str, mimetype: str
) -> None:
    picture = (io.BytesIO(head), "../../my photo.exe")
    page = post(ann, "/new", {**STORY, "picture": picture})
    (stored,) = Path(app.config["UPLOADS"]).iterdir()
    assert re.fullmatch(rf"[0-9a-f]{{16}}-my_photo\.{extension}", stored.name)
    assert f"/picture/{stored.name}" in page.text
    with ann.get(f"/picture/{stored.name}") as response:
        assert response.data == head
        assert response.mimetype == mimetype
        assert response.cache_control.max_age == 365 * 24 * 3600
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert ann.get("/picture/..%2fsecret_key").status_code == 404


def test_an_upload_too_large_is_refused_with_a_page(app: Flask, ann: FlaskClient) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 10_000
    picture = (io.BytesIO(PNG + bytes(10_000)), "big.png")
    page = post(ann, "/new", {**STORY, "picture": picture})
    assert page.status_code == 413
    assert "That load is too heavy" in page.text
    assert not list(Path(app.config["UPLOADS"]).iterdir())


def test_an_entry_is_changed_and_its_old_picture_removed(app: Flask, ann: FlaskClient) -> None:
    post(ann, "/new", {**STORY, "picture": (io.BytesIO(PNG), "one.png")})
    assert "A ride" in ann.get("/entry/1/edit").text
    changed = {**STORY, "title": "A longer ride", "picture": (io.BytesIO(PNG), "two.png")}
    page = post(ann, "/entry/1/edit", changed)
    assert "Saved." in page.text
    assert "A longer ride" in page.text
    kept = post(ann, "/entry/1/edit", {**STORY, "title": "The longest ride"})
    assert "-two.png" in kept.text
    assert [path.name[17:] for path in Path(app.config["UPLOADS"]).iterdir()] == ["two.png"]
    assert post(ann, "/entry/1/edit", {**STORY, "title": ""}).status_code == 422


@pytest.mark.parametrize("with_picture", [True, False])
def test_an_entry_is_deleted_with_its_picture(
    app: Flask, ann: FlaskClient, with_picture: bool
) -> None:
    picture = {"picture": (io.BytesIO(PNG), "a.png")} if with_picture else {}
    post(ann, "/new", {**STORY, **picture})
    assert "gone with the wind" in post(ann, "/entry/1/delete", {}).text
    assert ann.get("/entry/1").status_code == 404
    assert not list(Path(app.config["UPLOADS"]).iterdir())


def test_only_the_author_changes_an_entry(app: Flask, ann: FlaskClient) -> None:
    post(ann, "/new", STORY)
    bek = app.test_client()
    register(bek, "Bek")
    assert "Delete" not in bek.get("/entry/1").text
    for page in (bek.get("/entry/1/edit"), post(bek, "/entry/1/delete", {})):
        assert page.status_code == 403
        assert "This is not yours to change" in page.text
    assert ann.get("/entry/1").status_code == 200


def test_search_knows_the_case_of_every_alphabet_and_marks_what_it_finds(
    ann: FlaskClient,
) -> None:
    post(ann, "/new", STORY)
    page = ann.get("/?q=ұЛЫ").text
    assert "Found for “ұЛЫ”" in page
    assert "<mark>Ұлы</mark>тау" in page
    assert "Nothing found" in ann.get("/?q=100%25").text
    assert "Nothing found for “&lt;i&gt;”" in ann.get("/?q=<i>").text


def test_pages_turn_from_new_to_old(ann: FlaskClient) -> None:
    for title in ("first", "second", "third"):
        post(ann, "/new", {**STORY, "title": title})
    newest = ann.get("/").text
    assert newest.index("third") < newest.index("second")
    assert "first" not in newest
    assert 'href="/?page=2"' in newest
    assert "first" in ann.get("/?page=2").text
    assert 'href="/by/Ann?page=1"' in ann.get("/by/Ann?page=2").text
    assert ann.get("/?page=99999999999999999999").status_code == 200


def test_a_landscape_is_drawn_and_kept_by_the_browser(client: FlaskClient) -> None:
    first = client.get("/landscape/4.svg")
    assert first.mimetype == "image/svg+xml"
    assert first.text == client.get("/landscape/4.svg").text
    assert first.text != client.get("/landscape/10.svg").text
    assert first.headers["ETag"]
    again = client.get("/landscape/4.svg", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


# Steppe: words and looks


def test_the_browser_chooses_the_language_until_the_visitor_does(client: FlaskClient) -> None:
    kazakh = {"Accept-Language": "kk-KZ,kk;q=0.9,en;q=0.5"}
    assert "Кең даладан жеткен әңгімелер" in client.get("/", headers=kazakh).text
    assert "Stories from the wide land" in client.get("/").text
    page = post(client, "/choose", {"language": "kk", "next": "/account/login"})
    assert page.request.path == "/account/login"
    assert '<html lang="kk"' in page.text
    assert "Құпиясөз" in page.text


def test_dates_speak_both_languages(ann: FlaskClient, app: Flask) -> None:
    words = importlib.import_module("steppe.words")
    stored = "2026-11-22T10:00:00+00:00"
    with app.test_request_context():
        assert words.date(stored) == "22 November 2026"
    with app.test_request_context(headers={"Accept-Language": "kk"}):
        assert words.date(stored) == "2026 жылғы 22 қараша"


def test_every_text_of_the_templates_has_its_kazakh(framework: types.ModuleType) -> None:
    words = importlib.import_module("steppe.kazakh").WORDS
    used = {
        text
        for path in (EXAMPLES / "steppe").rglob("*.[hp]*")
        if path.suffix in {".html", ".py"}
        for quoted in re.findall(
            r"""\b_\(\s*(?:"([^"]+)"|'([^']+)')\s*[,)]""", path.read_text("utf-8")
        )
        for text in quoted
        if text
    }
    assert len(used) > 40
    assert sorted(used - words.keys()) == []


def test_a_theme_is_remembered_and_nonsense_is_not(client: FlaskClient) -> None:
    assert 'data-theme="auto"' in client.get("/").text
    assert 'data-theme="dark"' in post(client, "/choose", {"theme": "dark"}).text
    assert 'data-theme="dark"' in post(client, "/choose", {"theme": "pink"}).text
    register(client)
    assert 'data-theme="dark"' in client.get("/").text


# Steppe: what goes wrong


@pytest.mark.parametrize("path", ["/nowhere", "/entry/1", "/by/nobody", "/picture/none.png"])
def test_what_is_not_there_has_a_page_of_its_own(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert "Nobody has ridden this way" in response.text


@pytest.mark.parametrize("token", [None, "", "wrong", "é"])
def test_a_form_without_our_token_is_refused(ann: FlaskClient, token: str | None) -> None:
    data = STORY if token is None else {**STORY, "token": token}
    response = ann.post("/new", data=data)
    assert response.status_code == 400
    assert "We could not make sense of that" in response.text
    assert ann.get("/entry/1").status_code == 404


def test_a_missing_field_is_a_400(ann: FlaskClient) -> None:
    assert post(ann, "/new", {"title": "only"}).status_code == 400


def test_a_refused_method_names_those_allowed(client: FlaskClient) -> None:
    response = client.get("/account/logout")
    assert response.status_code == 405
    assert set(response.allow) == {"POST", "OPTIONS"}
    assert "Not through this door" in response.text


def test_an_error_of_ours_has_a_page_too(app: Flask, client: FlaskClient) -> None:
    app.testing = False

    def feed() -> str:
        raise ZeroDivisionError

    app.view_functions["journal.feed"] = feed
    response = client.get("/")
    assert response.status_code == 500
    assert "The cart broke down" in response.text


def test_pages_forbid_what_they_do_not_need(client: FlaskClient) -> None:
    headers = client.get("/").headers
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "http" not in re.sub(r'xmlns="[^"]+"', "", client.get("/").text)


# Steppe: the API


def test_the_api_gives_entries_page_by_page(ann: t.Any) -> None:
    for title in ("first", "second", "third"):
        post(ann, "/new", {**STORY, "title": title})
    answer = ann.get("/api/entries?q=ride&author=Ann").json
    assert answer == {"entries": [], "next": None}
    answer = ann.get("/api/entries?author=Ann").json
    assert [entry["title"] for entry in answer["entries"]] == ["third", "second"]
    rest = ann.get(answer["next"]).json
    assert [entry["title"] for entry in rest["entries"]] == ["first"]
    assert rest["next"] is None


def test_the_api_gives_one_entry(ann: t.Any) -> None:
    post(ann, "/new", {**STORY, "picture": (io.BytesIO(PNG), "a.png")})
    entry = ann.get("/api/entries/1").json
    assert entry["picture"].startswith("http://localhost/picture/")
    assert entry["url"] == "http://localhost/entry/1"
    assert (entry["author"], entry["place"]) == ("Ann", "Ұлытау")


def test_what_else_a_query_says_is_left_out_of_the_next_page(ann: t.Any) -> None:
    """Whatever it is called: url_for has arguments of its own."""
    for number in range(3):
        post(ann, "/new", {**STORY, "title": f"Ride {number}"}, "/new")
    answer = ann.get("/api/entries?_external=&endpoint=x&_scheme=javascript&q=ride").json
    assert answer["next"] == "http://localhost/api/entries?q=ride&page=2"


@pytest.mark.parametrize("path", ["/api/entries/9", f"/api/entries/{10**30}", "/api/nowhere"])
def test_errors_of_the_api_are_json(client: t.Any, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.json["error"] == "Not Found"
