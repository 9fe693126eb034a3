"""Steppe, a travel journal: a small application with everything a real one has.

Accounts, entries with pictures, search, two languages, a JSON API; SQLite for the data and an
instance folder, made at the first start, for all that belongs to one installation.
It imports ``flask``, since Torsyq is Flask to what runs on it: the same files run on either.

    torsyq --app steppe run
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from flask import Flask

from . import accounts
from . import api
from . import database
from . import guard
from . import journal
from . import pages
from . import words

MEGABYTE = 1024 * 1024


def create_app(instance_path: str | None = None, **config: t.Any) -> Flask:
    """The application; keyword arguments are configuration and win over ``STEPPE_*`` variables."""
    app = Flask(__name__, instance_path=instance_path)
    instance = Path(app.instance_path)
    app.config.from_mapping(
        DATABASE=str(instance / "steppe.sqlite"),
        UPLOADS=str(instance / "uploads"),
        SAMPLE=True,
        PER_PAGE=10,
        PASSWORD_METHOD="scrypt",
        MAX_CONTENT_LENGTH=5 * MEGABYTE,
        MAX_FORM_MEMORY_SIZE=MEGABYTE // 4,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.config.from_prefixed_env("STEPPE")
    app.config.from_mapping(config)
    Path(app.config["UPLOADS"]).mkdir(parents=True, exist_ok=True)
    app.secret_key = app.secret_key or guard.own_key(instance / "secret_key")

    for part in (database, guard, words, accounts, journal, pages):
        part.init_app(app)
    app.register_blueprint(accounts.blueprint)
    app.register_blueprint(journal.blueprint)
    app.register_blueprint(api.blueprint)
    return app
