"""The words of the journal, in English and Kazakh, and the filters that shape its texts."""

from __future__ import annotations

import re
from datetime import datetime

from flask import Flask
from flask import g
from flask import request
from flask import session
from markupsafe import escape
from markupsafe import Markup

from .kazakh import ENGLISH
from .kazakh import MONTHS
from .kazakh import WORDS

LANGUAGES = ("en", "kk")


def init_app(app: Flask) -> None:
    app.jinja_env.globals.update(_=translate, language=language)
    app.add_template_filter(date)


def language() -> str:
    """The language chosen by the visitor, or else the one that the browser likes best."""
    if "language" not in g:
        preferred = request.accept_languages.best_match(LANGUAGES, default="en")
        g.language = session.get("language", preferred)
    return str(g.language)


def translate(text: str, **values: object) -> str:
    """The text in the visitor's language, with ``%(name)s`` filled in."""
    found = (WORDS if language() == "kk" else ENGLISH).get(text, text)
    return found % values if values else found


def date(stored: str) -> str:
    moment = datetime.fromisoformat(stored)
    if language() == "kk":
        return f"{moment.year} жылғы {moment.day} {MONTHS[moment.month - 1]}"
    return f"{moment.day} {moment:%B %Y}"


def paragraphs(text: str) -> Markup:
    """Plain text as HTML: an empty line parts paragraphs, a line break stays one."""
    parts = re.split(r"(?:\r?\n[ \t]*){2,}", text.strip())
    lines = (Markup("<br>\n").join(part.splitlines()) for part in parts)
    return Markup("\n").join(Markup("<p>{}</p>").format(line) for line in lines)


def highlight(text: str, query: str) -> Markup:
    """The text with each place where the query stands marked."""
    if not query:
        return escape(text)
    parts = re.split(f"({re.escape(query)})", text, flags=re.IGNORECASE)
    # Split by a group, every second part is one of the places found.
    marked = (Markup("<mark>{}</mark>").format(p) if i % 2 else p for i, p in enumerate(parts))
    return Markup("").join(marked)
