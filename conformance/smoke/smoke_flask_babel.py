"""Flask-Babel: locale and timezone per request, formatting, translations, template filters."""

from __future__ import annotations

import datetime
import io
import pathlib
import typing as t

import flask
import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask_babel import Babel
from flask_babel import force_locale
from flask_babel import format_currency
from flask_babel import format_date
from flask_babel import format_datetime
from flask_babel import format_decimal
from flask_babel import get_locale
from flask_babel import get_timezone
from flask_babel import gettext
from flask_babel import lazy_gettext
from flask_babel import ngettext
from flask_babel import refresh

PO = """
msgid ""
msgstr "Content-Type: text/plain; charset=utf-8\\nPlural-Forms: nplurals=2; plural=(n != 1);\\n"

msgid "Hello %(name)s"
msgstr "Hallo %(name)s"

msgid "%(num)s apple"
msgid_plural "%(num)s apples"
msgstr[0] "%(num)s Apfel"
msgstr[1] "%(num)s Äpfel"
"""
MOMENT = datetime.datetime(2024, 2, 29, 12, 30)
LATER = lazy_gettext("Hello %(name)s", name="lazy")


@pytest.fixture
def app(tmp_path: pathlib.Path) -> flask.Flask:
    folder = tmp_path / "translations" / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "messages.mo").open("wb") as file:
        write_mo(file, read_po(io.StringIO(PO)))
    app = flask.Flask(__name__, root_path=str(tmp_path))
    Babel(
        app,
        locale_selector=lambda: flask.request.accept_languages.best_match(["en", "de"]),
        timezone_selector=lambda: flask.request.args.get("tz"),
    )
    return app


def get(app: flask.Flask, view: t.Callable[[], str], query: str = "", lang: str = "en") -> str:
    app.add_url_rule("/", "view", view)
    return app.test_client().get("/" + query, headers={"Accept-Language": lang}).text


def test_the_locale_follows_the_request(app: flask.Flask) -> None:
    assert get(app, lambda: str(get_locale()), lang="de, en;q=0.5") == "de"


def test_the_timezone_follows_the_request(app: flask.Flask) -> None:
    assert get(app, lambda: str(get_timezone()), "?tz=Asia/Almaty") == "Asia/Almaty"


@pytest.mark.parametrize(("lang", "text"), [("en", "Hello Ada"), ("de", "Hallo Ada")])
def test_a_text_is_translated(app: flask.Flask, lang: str, text: str) -> None:
    assert get(app, lambda: gettext("Hello %(name)s", name="Ada"), lang=lang) == text


@pytest.mark.parametrize(("number", "text"), [(1, "1 Apfel"), (3, "3 Äpfel")])
def test_a_plural_is_translated(app: flask.Flask, number: int, text: str) -> None:
    assert get(app, lambda: ngettext("%(num)s apple", "%(num)s apples", number), lang="de") == text


def test_a_lazy_text_is_translated_when_shown(app: flask.Flask) -> None:
    assert get(app, lambda: str(LATER), lang="de") == "Hallo lazy"


def test_numbers_and_dates_are_formatted_for_the_locale(app: flask.Flask) -> None:
    def view() -> str:
        parts = format_decimal(1234.5), format_currency(9.5, "EUR"), format_date(MOMENT, "medium")
        return "|".join(parts).replace("\xa0", " ")

    assert get(app, view, lang="de") == "1.234,5|9,50 €|29.02.2024"


def test_a_moment_is_shown_in_the_timezone(app: flask.Flask) -> None:
    def view() -> str:
        return format_datetime(MOMENT, "yyyy-MM-dd HH:mm")

    assert get(app, view, "?tz=Asia/Tokyo") == "2024-02-29 21:30"


def test_a_locale_can_be_forced_for_a_block(app: flask.Flask) -> None:
    def view() -> str:
        with force_locale("de"):
            inside = gettext("Hello %(name)s", name="x")
        return inside + "/" + gettext("Hello %(name)s", name="x")

    assert get(app, view) == "Hallo x/Hello x"


def test_refresh_asks_the_selectors_again(app: flask.Flask) -> None:
    def view() -> str:
        first = str(get_locale())
        flask.request.headers.environ["HTTP_ACCEPT_LANGUAGE"] = "de"  # type: ignore[attr-defined]
        flask.request.__dict__.pop("accept_languages", None)
        refresh()
        return f"{first}/{get_locale()}"

    assert get(app, view) == "en/de"


def test_templates_have_the_filters_and_gettext(app: flask.Flask) -> None:
    def view() -> str:
        source = "{{ _('Hello %(name)s', name='T') }} {{ 1234|numberformat }} {{ day|dateformat('short') }}"
        return flask.render_template_string(source, day=MOMENT)

    assert get(app, view, lang="de") == "Hallo T 1.234 29.02.24"


def test_outside_a_request_the_default_holds(app: flask.Flask) -> None:
    later = flask.Flask(__name__)
    Babel(later, default_locale="fr")
    with later.app_context():
        assert str(get_locale()) == "fr"
