"""The fixtures that An Otter Wiki's tests ask for; its archive carries the tests without them.

Written from what the tests say of each fixture. The wiki is one app to a process, made at import,
so every test that wants one gets a freshly imported wiki over a repository and database of its own.
"""

import sys
from datetime import datetime
from functools import cache

import pytest
from werkzeug.security import generate_password_hash

SETTINGS = """
REPOSITORY = {repository!r}
SECRET_KEY = "a secret key of the tests"
SQLALCHEMY_DATABASE_URI = "sqlite:///:memory:"
SITE_NAME = "TEST WIKI"
TESTING = True
WTF_CSRF_ENABLED = False
MAIL_DEFAULT_SENDER = "no-reply@example.com"
MAIL_SUPPRESS_SEND = True
{more}
"""


def fresh_wiki(folder, monkeypatch, more=""):
    from otterwiki.gitstorage import GitStorage

    repository = folder / "repo"
    repository.mkdir()
    GitStorage(path=str(repository), initialize=True)
    settings = folder / "settings.cfg"
    settings.write_text(SETTINGS.format(repository=str(repository), more=more))
    monkeypatch.setenv("OTTERWIKI_SETTINGS", str(settings))
    for name in [name for name in sys.modules if name.partition(".")[0] == "otterwiki"]:
        if name != "otterwiki" and name != "otterwiki.gitstorage":
            monkeypatch.delitem(sys.modules, name)
    import otterwiki.server as server

    server.app.storage = server.storage
    server.app.test_mail = server.mail
    with server.app.app_context():
        server.db.create_all()
    return server.app


@pytest.fixture
def create_app(tmp_path, monkeypatch):
    return fresh_wiki(tmp_path, monkeypatch)


@pytest.fixture
def create_app_raw_filenames(tmp_path, monkeypatch):
    return fresh_wiki(tmp_path, monkeypatch, "RETAIN_PAGE_NAME_CASE = True")


@pytest.fixture
def create_app_with_git(tmp_path, monkeypatch):
    return fresh_wiki(tmp_path, monkeypatch, "GIT_WEB_SERVER = True")


@pytest.fixture
def req_ctx(create_app):
    with create_app.test_request_context() as ctx:
        yield ctx


@pytest.fixture
def test_client(create_app):
    client = create_app.test_client()
    client._app = create_app
    return client


@pytest.fixture
def test_client_with_git(create_app_with_git):
    return create_app_with_git.test_client()


@cache
def password_hash():
    # Slow by design, and wanted by hundreds of tests: made once.
    return generate_password_hash("password1234", method="scrypt")


@pytest.fixture
def app_with_user(create_app, req_ctx):
    from otterwiki.auth import db
    from otterwiki.auth import SimpleAuth

    for name, email, admin in (
        ("Test User", "mail@example.org", True),
        ("Another User", "another@user.org", False),
    ):
        db.session.add(
            SimpleAuth.User(
                name=name,
                email=email,
                password_hash=password_hash(),
                first_seen=datetime.now(),
                last_seen=datetime.now(),
                is_admin=admin,
                is_approved=True,
                email_confirmed=True,
            )
        )
    db.session.commit()
    return create_app


def logged_in(client, email):
    form = {"email": email, "password": "password1234"}
    answer = client.post("/-/login", data=form, follow_redirects=True)
    assert "You logged in successfully." in answer.text
    return client


@pytest.fixture
def admin_client(app_with_user):
    return logged_in(app_with_user.test_client(), "mail@example.org")


@pytest.fixture
def other_client(app_with_user):
    return logged_in(app_with_user.test_client(), "another@user.org")
