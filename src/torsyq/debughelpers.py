"""Longer explanations of common mistakes, given in debug mode only."""

from __future__ import annotations

import typing as t

from jinja2.loaders import BaseLoader
from werkzeug.routing import RequestRedirect

from .blueprints import Blueprint
from .globals import _current_request_context
from .passed_on import passed_on
from .sansio.app import App

if t.TYPE_CHECKING:
    from .sansio.scaffold import Scaffold
    from .wrappers import Request

    # What a loader returned: the source, the file it is in, and whether that is still current.
    Found: t.TypeAlias = tuple[str, str | None, t.Callable[[], bool] | None]
    Attempt: t.TypeAlias = tuple[BaseLoader, Scaffold, Found | None]


class UnexpectedUnicodeError(AssertionError, UnicodeError):
    """Text and bytes were mixed up; the message tells where."""


class DebugFilesKeyError(KeyError, AssertionError):
    """A file was looked for in a request whose form sent only the file's name."""

    def __init__(self, request: Request, key: str) -> None:
        message = (
            f"You tried to access the file {key!r} in the request.files"
            " dictionary but it does not exist. The mimetype for the"
            f" request is {request.mimetype!r} instead of"
            " 'multipart/form-data' which means that no file contents"
            " were transmitted. To fix this error you should provide"
            ' enctype="multipart/form-data" in your form.'
        )
        names = request.form.getlist(key)
        if names:
            listed = ", ".join(repr(name) for name in names)
            message += (
                f"\n\nThe browser instead transmitted some file names. This was submitted: {listed}"
            )
        self.msg = message

    def __str__(self) -> str:
        return self.msg


class FormDataRoutingRedirect(AssertionError):
    """The router redirected a request with a body in a way that makes browsers drop it."""

    def __init__(self, request: Request) -> None:
        redirect = request.routing_exception
        assert isinstance(redirect, RequestRedirect)
        message = (
            f"A request was sent to '{request.url}', but routing issued"
            f" a redirect to the canonical URL '{redirect.new_url}'."
        )
        if redirect.new_url.partition("?")[0] == f"{request.base_url}/":
            message += (
                " The URL was defined with a trailing slash. Flask"
                " will redirect to the URL with a trailing slash if it"
                " was accessed without one."
            )
        message += (
            " Send requests to the canonical URL, or use 307 or 308 for"
            " routing redirects. Otherwise, browsers will drop form"
            " data.\n\n"
            "This exception is only raised in debug mode."
        )
        super().__init__(message)


def attach_enctype_error_multidict(request: Request) -> None:
    """Have ``request.files`` explain why a file is missing whose name came as a form field.

    :param request: a request whose body was not ``multipart/form-data``.
    """
    files = request.files
    plain = type(files)

    def getitem(self: t.Any, key: str) -> t.Any:
        try:
            return plain.__getitem__(self, key)
        except KeyError as error:
            if key not in request.form:
                raise
            raise DebugFilesKeyError(request, key).with_traceback(error.__traceback__) from None

    names = {"__getitem__": getitem, "__module__": plain.__module__}
    files.__class__ = type(plain.__name__, (plain,), names)


def _dump_loader_info(loader: BaseLoader) -> t.Iterator[str]:
    """A template loader's class and its plain public attributes, line by line."""
    yield f"class: {type(loader).__module__}.{type(loader).__name__}"
    for name, value in sorted(vars(loader).items()):
        if name.startswith("_"):
            continue
        if isinstance(value, (str, int, float, bool)):
            yield f"{name}: {value!r}"
        elif isinstance(value, (tuple, list)) and all(isinstance(item, str) for item in value):
            yield f"{name}:"
            for item in value:
                yield f"  - {item}"


def explain_template_loading_attempts(app: App, template: str, attempts: list[Attempt]) -> None:
    """Log where a template was looked for, and what was found.

    :param app: the app, whose logger it goes to.
    :param template: the name looked for.
    :param attempts: each loader asked, whose it is, and what it returned.
    """
    lines = [f"Locating template {template!r}:"]
    for number, (loader, owner, found) in enumerate(attempts, 1):
        lines.append(f"{number:5}: trying loader of {_owner(owner)}")
        lines.extend(f"       {line}" for line in _dump_loader_info(loader))
        if found is None:
            lines.append("       -> no match")
        else:
            lines.append(f"       -> found ({found[1] or '<string>'!r})")
    lines.extend(_verdict(sum(found is not None for *_, found in attempts)))
    app.logger.info("\n".join(lines))


def _owner(owner: object) -> str:
    if isinstance(owner, App):
        return f"application {owner.import_name!r}"
    if isinstance(owner, Blueprint):
        return f"blueprint {owner.name!r} ({owner.import_name})"
    return repr(owner)


def _verdict(matches: int) -> t.Iterator[str]:
    if matches == 1:
        return
    if matches == 0:
        yield "Error: the template could not be found."
    else:
        yield "Warning: multiple loaders returned a match for the template."
    context = _current_request_context(None)
    if context is not None and context.request.blueprint is not None:
        yield (
            "  The template was looked up from an endpoint that belongs to"
            f" the blueprint {context.request.blueprint!r}."
        )
        yield "  Maybe you did not place a template in the right folder?"
        yield "  See https://flask.palletsprojects.com/blueprints/#templates"


__getattr__ = passed_on(__name__)
