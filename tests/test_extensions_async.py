"""Extensions as they are, in async views and beside async hooks, on real servers in parallel.

``pip install -e '.[extensions]'`` brings them.
"""

from __future__ import annotations

import http.client
import re
import typing as t
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from urllib.parse import urlencode

import pytest

from .servers import command
from .servers import free_port
from .servers import PATIENCE
from .servers import process

EXTENSIONS = ("flask_login", "flask_sqlalchemy", "flask_wtf", "flask_session", "flask_caching")
missing = [name for name in EXTENSIONS if find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(missing), reason=f"pip install -e '.[extensions]' to test with {', '.join(missing)}"
)

HELLO = """
import asyncio
from pathlib import Path

from cachelib import FileSystemCache
from flask import Flask, abort, g, redirect, render_template_string, session, url_for
from flask_caching import Cache
from flask_login import (
    LoginManager, UserMixin, current_user, login_required, login_user, logout_user
)
from flask_session import Session
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect, FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import DataRequired

app = Flask(__name__)
app.config.update(
    SECRET_KEY="of the test",
    SQLALCHEMY_DATABASE_URI=f"sqlite:///{Path('notes.sqlite').absolute()}",
    SESSION_TYPE="cachelib",
    SESSION_CACHELIB=FileSystemCache("sessions", threshold=10_000),
    CACHE_TYPE="SimpleCache",
)
db = SQLAlchemy(app)
login_manager = LoginManager(app)
cache = Cache(app)
Session(app)
csrf = CSRFProtect(app)


class User(db.Model, UserMixin):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String, unique=True)
    password = db.Column(db.String)


class Note(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    user_id = db.Column(db.ForeignKey(User.id))
    text = db.Column(db.String)


with app.app_context():
    db.create_all()


class LoginForm(FlaskForm):
    name = StringField(validators=[DataRequired()])
    password = PasswordField(validators=[DataRequired()])


class NoteForm(FlaskForm):
    text = StringField(validators=[DataRequired()])


@login_manager.user_loader
def load_user(user_id):
    return db.session.get(User, int(user_id))


@app.before_request
async def remember():
    await asyncio.sleep(0)
    g.who = current_user.get_id()


@app.before_request
def remember_in_thread():
    assert g.who == current_user.get_id()


@app.after_request
async def tell(response):
    await asyncio.sleep(0)
    response.headers["X-Who"] = str(g.get("who"))
    return response


@app.teardown_request
async def end(error):
    await asyncio.sleep(0)


FORM = "<form method=post>{{ form.hidden_tag() }}{{ form.errors }}</form>"


@app.get("/")
async def index():
    return "ready"


@app.route("/register", methods=["GET", "POST"])
async def register():
    form = LoginForm()
    if form.validate_on_submit():
        await asyncio.sleep(0.001)
        user = User(name=form.name.data, password=form.password.data)
        db.session.add(user)
        db.session.commit()
        return redirect(url_for("login"))
    return render_template_string(FORM, form=form)


@app.route("/login", methods=["GET", "POST"])
async def login():
    form = LoginForm()
    if form.validate_on_submit():
        found = db.select(User).filter_by(name=form.name.data)
        await asyncio.sleep(0.001)
        user = db.session.execute(found).scalar_one_or_none()
        if user is None or user.password != form.password.data:
            abort(403)
        login_user(user)
        session["name"] = user.name
        return redirect(url_for("notes"))
    return render_template_string(FORM, form=form)


@app.route("/notes", methods=["GET", "POST"])
@login_required
async def notes():
    form = NoteForm()
    if form.validate_on_submit():
        db.session.add(Note(user_id=current_user.id, text=form.text.data))
        await asyncio.sleep(0.001)
        db.session.commit()
        return redirect(url_for("notes"))
    before = current_user.name
    await asyncio.sleep(0.001)
    assert before == current_user.name == session["name"]
    found = db.session.execute(db.select(Note.text).filter_by(user_id=current_user.id))
    texts = found.scalars().all()
    page = "{{ session.name }}:{{ current_user.name }}:{{ texts|join(',') }}" + FORM
    return render_template_string(page, texts=texts, form=form)


@app.post("/sign/<name>")
@csrf.exempt
async def sign(name):
    db.session.add(Note(text=name))
    db.session.flush()
    await asyncio.sleep(0.01)
    db.session.commit()
    return "signed"


@app.get("/signed")
async def signed():
    texts = db.session.scalars(db.select(Note.text).where(Note.user_id.is_(None)))
    await asyncio.sleep(0.05)
    return ",".join(sorted(texts))


made = []


@app.get("/cached/<name>")
@cache.cached(timeout=600)
async def cached(name):
    made.append(name)
    await asyncio.sleep(0.01)
    return f"{name} {made.count(name)}"


@cache.memoize(600)
def square(number):
    made.append(number)
    return number * number


@app.get("/square/<int:number>")
async def squared(number):
    return f"{square(number)} {made.count(number)}"


@app.post("/logout")
@login_required
async def logout():
    logout_user()
    session.clear()
    return "bye"
"""


class Browser:
    """Someone with cookies."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}
        self.headers: http.client.HTTPMessage

    def ask(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            headers = {"Cookie": "; ".join(f"{name}={v}" for name, v in self.cookies.items())}
            if form is not None:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            method = "GET" if form is None else "POST"
            connection.request(method, path, urlencode(form) if form else None, headers)
            response = connection.getresponse()
            self.headers = response.headers
            for cookie in response.headers.get_all("Set-Cookie") or []:
                name, _, value = cookie.partition(";")[0].partition("=")
                self.cookies[name] = value
            return response.status, response.read().decode()
        finally:
            connection.close()

    def token(self, path: str) -> str:
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', self.ask(path)[1])
        assert found is not None
        return found[1]

    def submit(self, path: str, **form: str) -> tuple[int, str]:
        return self.ask(path, {**form, "csrf_token": self.token(path)})


@pytest.fixture(scope="module", params=["uvicorn", "granian-asgi", "granian-rsgi", "granian-wsgi"])
def port(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[int]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "hello.py").write_text(HELLO)
    port = free_port()
    with process(folder, *command(request.param, port)) as server:
        server.wait_for(port)
        yield port
        assert "Traceback" not in server.output


def live(port: int, number: int) -> None:
    """Register, log in, write notes, read them, log out."""
    browser, name = Browser(port), f"user-{number}"
    assert browser.ask("/notes")[0] == 401
    assert browser.submit("/register", name=name, password=f"secret {number}")[0] == 302
    assert browser.submit("/login", name=name, password=f"secret {number}")[0] == 302
    texts = [f"{name}-{count}" for count in range(3)]
    for text in texts:
        assert browser.submit("/notes", text=text)[0] == 302
    status, page = browser.ask("/notes")
    assert (status, page.partition("<")[0]) == (200, f"{name}:{name}:{','.join(texts)}")
    assert browser.headers["X-Who"] not in {None, "None"}
    token = browser.token("/notes")
    assert browser.ask("/logout", {"csrf_token": token}) == (200, "bye")
    assert browser.ask("/notes")[0] == 401
    assert browser.headers["X-Who"] == "None"


def test_many_users_at_once_each_see_their_own(port: int) -> None:
    """Flask-Login, Flask-SQLAlchemy, Flask-WTF and Flask-Session, 24 users on 12 connections."""
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda number: live(port, number), range(24)))


def test_more_views_than_connections_and_all_of_them_write(port: int) -> None:
    """Flask-SQLAlchemy has 15 connections, and SQLite locks its file for who writes."""
    names = [f"name-{number:02}" for number in range(40)]

    def write_and_read(name: str) -> tuple[int, int]:
        browser = Browser(port)
        return browser.ask(f"/sign/{name}", {})[0], browser.ask("/signed")[0]

    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(write_and_read, names)) == {(200, 200)}
    assert Browser(port).ask("/signed") == (200, ",".join(names))


def test_a_form_without_its_token_is_refused(port: int) -> None:
    status, page = Browser(port).ask("/login", {"name": "x", "password": "y"})
    assert status == 400
    assert "CSRF token is missing" in page


def test_a_wrong_password_is_refused(port: int) -> None:
    assert Browser(port).submit("/login", name="nobody", password="y")[0] == 403


def test_flask_caching_keeps_what_an_async_view_answered(port: int) -> None:
    assert Browser(port).ask("/cached/alma") == (200, "alma 1")
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: Browser(port).ask("/cached/alma"), range(16))
        assert set(answers) == {(200, "alma 1")}
    assert {Browser(port).ask("/square/12") for _ in range(3)} == {(200, "144 1")}
