"""The pages of HTTP errors in the language of who reads them.

Where ``ERROR_PAGE_LANGUAGES`` names the languages a site has, the best one first, the pages that
nobody has given a text of their own are in the one that the browser likes best (:rfc:`9110#section-12.5.4`).
There are texts in Kazakh, Russian, Turkish, German, French, Spanish, and Werkzeug's in English.

Example::

    app.config["ERROR_PAGE_LANGUAGES"] = ["kk", "ru", "en"]
"""

from __future__ import annotations

import json
import typing as t
from functools import lru_cache
from importlib.resources import files

from werkzeug.exceptions import default_exceptions
from werkzeug.http import HTTP_STATUS_CODES

from .globals import current_app
from .globals import request
from .pages import page

if t.TYPE_CHECKING:
    from werkzeug.datastructures import LanguageAccept
    from werkzeug.exceptions import HTTPException

    from .wrappers import Response

_CHOSEN = "torsyq.language"
# SECURITY: a language may come from the client; of files only these are read.
_TRANSLATED = {"de", "es", "fr", "kk", "ru", "tr"}


def get_language() -> str:
    """The language for who sent the request, one of ``ERROR_PAGE_LANGUAGES``.

    It is what :func:`set_language` was told, else what the browser likes best of them, else the
    first one; ``"en"`` where none are configured.

    :raises RuntimeError: no request is being handled.

    Example::

        @app.context_processor
        def language():
            return {"language": get_language()}
    """
    language: str | None = request.environ.get(_CHOSEN)
    if language is None:
        of_site: t.Sequence[str] | str = current_app.config.get("ERROR_PAGE_LANGUAGES") or "en"
        if isinstance(of_site, str):
            # From the environment: "kk,ru,en".
            of_site = of_site.replace(",", " ").split() or ["en"]
        language = request.environ[_CHOSEN] = _look_up(request.accept_languages, of_site)
    return language


def set_language(language: str) -> None:
    """Answer this request in *language*, whatever the browser likes best.

    :param language: a tag such as ``"kk"`` or ``"kk-KZ"`` (:rfc:`5646`).
    :raises RuntimeError: no request is being handled.

    Example::

        @app.before_request
        def choose():
            if "language" in session:
                set_language(session["language"])
    """
    request.environ[_CHOSEN] = language


def error_texts(error: HTTPException, language: str | None = None) -> tuple[str, str]:
    """The name and the description of an HTTP error, for a page or an answer of your own.

    What was written for this error, or for its class, stays as it is.

    :param language: that of the request, if it is not given.
    :raises RuntimeError: it is not given, and no request is being handled.

    Example::

        @app.errorhandler(HTTPException)
        def as_json(error):
            name, description = error_texts(error)
            return {"error": name, "description": description}, error.code
    """
    texts = _texts(_primary(get_language() if language is None else language))
    name, description = error.name, error.description or ""
    translation = texts.get(str(error.code))
    if translation is not None:
        if name == HTTP_STATUS_CODES.get(error.code):  # type: ignore[arg-type]
            name = translation[0]
        usual = default_exceptions.get(error.code)  # type: ignore[arg-type]
        if usual is not None and description == usual.description:
            description = translation[1]
    return name, description


def translate_page(error: HTTPException, response: Response) -> None:
    """Put the page of *error* into the language of the request, if it is the usual page."""
    usual_page = page(error.code, error.name, error.description)  # type: ignore[arg-type]
    if error.response is not None or error.get_body(request.environ).encode() != usual_page:
        return
    response.vary.add("Accept-Language")
    language = _primary(get_language())
    if language not in _TRANSLATED:
        language = "en"
    response.headers["Content-Language"] = language
    name, description = error_texts(error, language)
    response.set_data(page(error.code, name, description, language))  # type: ignore[arg-type]
    if request.method == "HEAD":
        response.response = []


def _look_up(accepted: LanguageAccept, of_site: t.Sequence[str]) -> str:
    """The best of the site's languages (:rfc:`4647#section-3.4`).

    Werkzeug's ``best_match`` gives who likes ``kk-KZ`` best, and English too, English.
    """
    by_tag = {tag.lower(): tag for tag in of_site}
    for tag in of_site:
        by_tag.setdefault(_primary(tag), tag)
    # SECURITY: a tag of the client's may have any number of parts, each of which costs a copy here.
    longest = max(map(len, by_tag))
    for liked, quality in accepted:
        tag = liked[: longest + 1].lower() if quality > 0 else ""
        while tag:
            if tag in by_tag:
                return by_tag[tag]
            tag = tag.rpartition("-")[0]
    return of_site[0]


def _primary(language: str) -> str:
    return language.partition("-")[0].lower()


@lru_cache(8)
def _texts(language: str) -> dict[str, list[str]]:
    if language not in _TRANSLATED:
        return {}
    file = files("torsyq") / "error_texts" / f"{language}.json"
    return t.cast("dict[str, list[str]]", json.loads(file.read_text("utf-8")))
