"""Accounts: register, log in, log out."""

from __future__ import annotations

import functools
import secrets
import sqlite3
import typing as t

from flask import Blueprint
from flask import current_app
from flask import flash
from flask import Flask
from flask import g
from flask import redirect
from flask import render_template
from flask import request
from flask import session
from flask import url_for
from werkzeug.security import check_password_hash
from werkzeug.security import generate_password_hash
from werkzeug.wrappers import Response

from .database import connection
from .guard import own_page
from .words import translate as _

blueprint = Blueprint("accounts", __name__, url_prefix="/account")


def init_app(app: Flask) -> None:
    app.before_request(load_account)


def load_account() -> None:
    """Put the account that is logged in, or None, where views and templates find it."""
    g.account = None
    if "account" in session:
        find = "SELECT id, name FROM account WHERE id = ?"
        g.account = connection().execute(find, (session["account"],)).fetchone()


def login_required(view: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """Send those who are not logged in to the login page, and back when they are."""

    @functools.wraps(view)
    def guarded(**arguments: t.Any) -> t.Any:
        if g.account is None:
            flash(_("Log in first, then the page is yours."), "hint")
            return redirect(url_for("accounts.login", next=request.full_path.rstrip("?")))
        return view(**arguments)

    return guarded


def enter(account: int, greeting: str) -> Response:
    """Log the account in, with a fresh session, and lead to where the visitor wanted to go."""
    kept = {key: session[key] for key in ("language", "theme") if key in session}
    session.clear()
    session.update(kept, account=account)
    flash(greeting, "success")
    return redirect(own_page(request.args.get("next")) or url_for("journal.feed"))


@blueprint.route("/register", methods=["GET", "POST"])
def register() -> t.Any:
    errors = {}
    if request.method == "POST":
        name, password = request.form["name"].strip(), request.form["password"]
        errors = check(name, password)
        if not errors:
            try:
                account = store(name, password)
            except sqlite3.IntegrityError:
                errors["name"] = _("This name is taken. Choose another.")
            else:
                return enter(account, _("Welcome, %(name)s! The steppe is yours.", name=name))
    return render_template("account/register.html", errors=errors), 422 if errors else 200


def check(name: str, password: str) -> dict[str, str]:
    errors = {}
    if not (2 <= len(name) <= 40 and name.isprintable() and "/" not in name):
        errors["name"] = _("Choose a name of 2 to 40 characters, without a slash.")
    if len(password) < 8:
        errors["password"] = _("Choose a password of at least 8 characters.")
    return errors


def hashed(password: str) -> str:
    return generate_password_hash(password, current_app.config["PASSWORD_METHOD"])


@functools.cache
def nobody() -> str:
    """A hash to check when the name is unknown, so that the time taken does not tell it is."""
    return hashed(secrets.token_hex())


def store(name: str, password: str) -> int:
    db = connection()
    cursor = db.execute(
        "INSERT INTO account (name, folded, password) VALUES (?, ?, ?)",
        (name, name.casefold(), hashed(password)),
    )
    db.commit()
    return t.cast("int", cursor.lastrowid)


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> t.Any:
    errors = {}
    if request.method == "POST":
        name, password = request.form["name"].strip(), request.form["password"]
        find = "SELECT id, name, password FROM account WHERE folded = ?"
        account = connection().execute(find, (name.casefold(),)).fetchone()
        if check_password_hash(account["password"] if account else nobody(), password) and account:
            return enter(account["id"], _("Welcome back, %(name)s!", name=account["name"]))
        errors["name"] = _("This name and password do not belong together.")
    return render_template("account/login.html", errors=errors), 422 if errors else 200


@blueprint.post("/logout")
def logout() -> Response:
    session.pop("account", None)
    flash(_("You are logged out. Come back soon!"), "success")
    return redirect(url_for("journal.feed"))
