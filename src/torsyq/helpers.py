"""The verbs a view uses: answer, redirect, abort, flash, send a file, stream.

Each works on what is current (``current_app``, ``request``, ``session``) and lets the app decide
where the app has a say: ``url_for``, ``redirect``, ``abort``, ``make_response`` and ``send_file``
go through the app's methods and attributes, so that a subclass changes them for every caller.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import typing as t
from datetime import datetime
from functools import cache
from functools import update_wrapper

from werkzeug.exceptions import abort as _wz_abort
from werkzeug.utils import redirect as _wz_redirect
from werkzeug.wrappers import Response as BaseResponse

from . import files
from .body import iterating
from .globals import _current_app
from .globals import _current_app_context
from .globals import _current_app_or_none
from .globals import _current_request_context
from .globals import current_app
from .globals import request
from .globals import request_ctx
from .globals import session
from .lazy import deferred
from .lazy import is_stock
from .loop import a_loop_runs
from .passed_on import passed_on
from .signals import message_flashed

if t.TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from .ctx import RequestContext
    from .ctx_app import AppContext
    from .workers import Seat
    from .wrappers import Response
else:
    asyncio = deferred("asyncio", globals())


def get_debug_flag() -> bool:
    """Whether the environment asks for debug mode by ``FLASK_DEBUG``.

    Unset, empty, ``0``, ``false`` and ``no`` mean no; anything else means yes.
    """
    value = os.environ.get("FLASK_DEBUG", "")
    return value.lower() not in {"", "0", "false", "no"}


def get_load_dotenv(default: bool = True) -> bool:
    """Whether ``.env`` files are to be read: not if ``FLASK_SKIP_DOTENV`` is set to a yes.

    :param default: the answer when the variable is unset or empty.
    """
    value = os.environ.get("FLASK_SKIP_DOTENV", "")
    if not value:
        return default
    return value.lower() in {"0", "false", "no"}


@t.overload
def stream_with_context(
    generator_or_function: t.Iterator[t.AnyStr],
) -> t.Iterator[t.AnyStr]: ...


@t.overload
def stream_with_context(
    generator_or_function: t.AsyncIterator[t.AnyStr],
) -> t.AsyncIterator[t.AnyStr]: ...


@t.overload
def stream_with_context(
    generator_or_function: t.Callable[..., t.AsyncIterator[t.AnyStr]],
) -> t.Callable[..., t.AsyncIterator[t.AnyStr]]: ...


@t.overload
def stream_with_context(
    generator_or_function: t.Callable[..., t.Iterator[t.AnyStr]],
) -> t.Callable[[t.Iterator[t.AnyStr]], t.Iterator[t.AnyStr]]: ...


def stream_with_context(
    generator_or_function: t.Any,
) -> t.Any:
    """Let a streamed body use ``request``, ``session`` and ``g`` while it is being sent.

    A body is sent after the view has returned, when the contexts are gone already. This keeps
    the contexts that are current now and makes them current again while the body is produced.
    Works on a generator, and as a decorator on a function that returns one::

        @app.get("/stream")
        def stream():
            @stream_with_context
            def rows():
                yield "Hello "
                yield request.args["name"]

            return rows()

    :param generator_or_function: a generator or another iterable, async ones included, or a
        function returning one.
    :raises RuntimeError: no request is being handled where the stream is made.
    """
    # COMPAT: request.stream is both; who is not on an event loop iterates it as in Flask.
    if hasattr(generator_or_function, "__aiter__") and (
        a_loop_runs() or not hasattr(generator_or_function, "__iter__")
    ):
        app_context, request_context = _contexts_to_keep()
        return _stream_async(app_context, app_context._seat, request_context, generator_or_function)
    try:
        iterator = iter(generator_or_function)
    except TypeError:
        return _streaming_function(generator_or_function)
    return _stream(*_contexts_to_keep(), iterator)


def _streaming_function(
    function: t.Callable[..., t.Iterator[t.AnyStr]],
) -> t.Callable[..., t.Iterator[t.AnyStr]]:
    def stream(*args: t.Any, **kwargs: t.Any) -> t.Iterator[t.AnyStr]:
        return stream_with_context(function(*args, **kwargs))

    return update_wrapper(stream, function)


def _contexts_to_keep() -> tuple[AppContext, RequestContext]:
    request_context = _current_request_context(None)
    if request_context is None:
        raise RuntimeError(
            "'stream_with_context' can only be used when a request context is"
            " active, such as in a view function."
        )
    return _current_app_context(), request_context


def _stream(
    app_context: AppContext, request_context: RequestContext, iterator: t.Iterator[t.AnyStr]
) -> t.Iterator[t.AnyStr]:
    with app_context, request_context:
        try:
            yield from iterator
        finally:
            # Not every iterator with a close() is a generator: it may be a file or a cursor.
            close = getattr(iterator, "close", None)
            if close is not None:
                close()


async def _stream_async(
    app_context: AppContext,
    seat: Seat | None,
    request_context: RequestContext,
    iterable: t.AsyncIterable[t.AnyStr],
) -> t.AsyncIterator[t.AnyStr]:
    app_context._seat = seat  # What the walk has left in g may belong to its thread.
    async with app_context, request_context, iterating(iterable) as iterator:
        async for chunk in iterator:
            yield chunk


def make_response(*args: t.Any) -> Response:
    """Turn what a view may return into a response object, to set headers or cookies on.

    Without arguments an empty response; one argument is what a view returns alone; several are
    what it returns as a tuple::

        response = make_response(render_template("index.html"), 404)
        response.headers["X-Parachutes"] = "parachutes are cool"

    :raises TypeError: a view could not return this.
    """
    if not args:
        return current_app.response_class()
    if len(args) == 1:
        args = args[0]
    return current_app.make_response(args)


def url_for(
    endpoint: str,
    *,
    _anchor: str | None = None,
    _method: str | None = None,
    _scheme: str | None = None,
    _external: bool | None = None,
    **values: t.Any,
) -> str:
    """The URL of an endpoint, by :meth:`.Flask.url_for` of the current app.

    :param endpoint: the name of the route; a leading ``.`` means in the current blueprint.
    :param _anchor: the fragment, after ``#``.
    :param _method: the method the route must answer, where an endpoint has several routes.
    :param _scheme: ``http``, ``https``; implies an external URL.
    :param _external: with scheme and host, or without. By default without in a request, with
        outside of one.
    :param values: the variables of the rule; what is left over becomes the query string.
    :raises werkzeug.routing.BuildError: no route fits.

    Example::

        url_for("user", id=7, tab="posts")  # "/user/7?tab=posts"
    """
    app = _current_app()
    if is_stock(app.url_for):
        # PERF: a seventh of building a URL, since the values stay in their dictionary.
        return app._url_for(endpoint, values, _anchor, _method, _scheme, _external)
    return app.url_for(
        endpoint,
        _anchor=_anchor,
        _method=_method,
        _scheme=_scheme,
        _external=_external,
        **values,
    )


def redirect(
    location: str, code: int = 302, Response: type[BaseResponse] | None = None
) -> BaseResponse:
    """A response that sends the client to another place, by :meth:`.Flask.redirect`.

    :param location: where to go.
    :param code: the status, 302 unless told otherwise (RFC 9110 section 15.4).
    :param Response: the class to build without an app; the app's own class with one.

    SECURITY: where the location comes from a client, as in ``?next=``, it may lead to another site.

    Example::

        return redirect(url_for("index"))
    """
    app = _current_app_or_none()
    if app is not None:
        return app.redirect(location, code=code)
    return _wz_redirect(location, code=code, Response=Response)


def abort(code: int | BaseResponse, *args: t.Any, **kwargs: t.Any) -> t.NoReturn:
    """End the view here with an HTTP error, by :attr:`.Flask.aborter`.

    :param code: the status, or a finished response.
    :param args: for the exception, its description first.
    :param kwargs: for the exception.
    :raises werkzeug.exceptions.HTTPException: always.
    :raises LookupError: no exception is known for the status.

    Example::

        if post is None:
            abort(404, "There is no such post.")
    """
    app = _current_app_or_none()
    if app is not None:
        app.aborter(code, *args, **kwargs)
    _wz_abort(code, *args, **kwargs)


def get_template_attribute(template_name: str, attribute: str) -> t.Any:
    """A macro or variable that a template exports, to be used from Python::

        hello = get_template_attribute("_cider.html", "hello")
        return hello("World")

    :param template_name: the template's name.
    :param attribute: the name of the macro or variable in it.
    :raises AttributeError: the template exports no such name.
    """
    return getattr(current_app.jinja_env.get_template(template_name).module, attribute)


def flash(message: str, category: str = "message") -> None:
    """Keep a message in the session for the next request to show.

    :param message: the message.
    :param category: its kind, to style or filter by: ``message``, ``error``, ``info``,
        ``warning`` are usual.

    Example::

        flash("Your changes were saved.", "info")
        return redirect(url_for("index"))
    """
    # Reading, growing and storing, for `session["_flashes"].append()` would not be noticed as a
    # change by a session kept outside of the cookie.
    flashes = session.get("_flashes", [])
    flashes.append((category, message))
    session["_flashes"] = flashes
    app = _current_app()
    message_flashed.send(app, _async_wrapper=app.ensure_sync, message=message, category=category)


def get_flashed_messages(
    with_categories: bool = False, category_filter: t.Iterable[str] = ()
) -> list[str] | list[tuple[str, str]]:
    """Take the flashed messages out of the session; again in the same request gives them again.

    :param with_categories: give ``(category, message)`` pairs.
    :param category_filter: only messages of these categories.

    Example, in a template::

        {% for category, message in get_flashed_messages(with_categories=True) %}
          <p class="{{ category }}">{{ message }}</p>
        {% endfor %}
    """
    context = request_ctx._get_current_object()  # type: ignore[attr-defined]
    flashes: list[tuple[str, str]] | None = context.flashes
    if flashes is None:
        flashes = session.pop("_flashes") if "_flashes" in session else []
        context.flashes = flashes
    if category_filter:
        flashes = [flash for flash in flashes if flash[0] in category_filter]
    if with_categories:
        return flashes
    return [flash[1] for flash in flashes]


def _prepare_send_file_kwargs(**kwargs: t.Any) -> dict[str, t.Any]:
    """The arguments of Werkzeug's ``send_file``, with what the app and the request know."""
    app = _current_app()
    if kwargs.get("max_age") is None:
        kwargs["max_age"] = app.get_send_file_max_age
    kwargs["environ"] = request.environ
    kwargs["use_x_sendfile"] = app.config["USE_X_SENDFILE"]
    kwargs["response_class"] = app.response_class
    kwargs["_root_path"] = app.root_path
    return kwargs


def send_file(
    path_or_file: os.PathLike[t.AnyStr] | str | t.IO[bytes],
    mimetype: str | None = None,
    as_attachment: bool = False,
    download_name: str | None = None,
    conditional: bool = True,
    etag: bool | str = True,
    last_modified: datetime | int | float | None = None,
    max_age: None | (int | t.Callable[[str | None], int | None]) = None,
) -> Response:
    """A response with a file's content, with caching, range and download headers.

    SECURITY: never with a path that comes from a client, who would name any file of the
    machine; that is what :func:`send_from_directory` is for.

    :param path_or_file: a path, relative to the app's root path, or a file open for bytes.
    :param mimetype: the type to send; guessed from the name otherwise.
    :param as_attachment: ask the browser to save and not to show it.
    :param download_name: the name to save it under.
    :param conditional: answer conditional and range requests (RFC 9110 sections 13 and 14).
    :param etag: make an ETag from the path, size and time; or the one to send.
    :param last_modified: the time to send; the file's otherwise.
    :param max_age: seconds a client may keep it, or a function of the path that tells;
        :meth:`.Flask.get_send_file_max_age` otherwise.
    :raises TypeError: a type has to be guessed, or a download named, and there is no name.

    Example::

        return send_file(BytesIO(pdf), "application/pdf", as_attachment=True, download_name="bill.pdf")
    """
    return files.send_file(
        **_prepare_send_file_kwargs(
            path_or_file=path_or_file,
            environ=request.environ,
            mimetype=mimetype,
            as_attachment=as_attachment,
            download_name=download_name,
            conditional=conditional,
            etag=etag,
            last_modified=last_modified,
            max_age=max_age,
        )
    )


def send_from_directory(
    directory: os.PathLike[str] | str,
    path: os.PathLike[str] | str,
    **kwargs: t.Any,
) -> Response:
    """A response with a file from within a directory, by :func:`send_file`.

    SECURITY: the path may come from a client: whatever it says (``..``, an absolute path, a
    drive), nothing outside of the directory is sent. The directory may not come from a client.
    ::

        @app.get("/uploads/<path:name>")
        def download(name):
            return send_from_directory(app.config["UPLOAD_FOLDER"], name, as_attachment=True)

    :param directory: the directory, relative to the app's root path.
    :param path: the file in it.
    :param kwargs: for :func:`send_file`.
    :raises werkzeug.exceptions.NotFound: there is no such file in the directory.
    """
    return files.send_from_directory(directory, path, **_prepare_send_file_kwargs(**kwargs))


def get_root_path(import_name: str) -> str:
    """The directory of a module or package, or the working directory if none can be told.

    :param import_name: the module's name. It is imported only if that is the one way to know.
    :raises RuntimeError: the module is not in a directory: it is built in, say, or a namespace.
    """
    module = sys.modules.get(import_name)
    path = getattr(module, "__file__", None) or _find_path(import_name)
    if path is None:
        return os.getcwd()
    return os.path.dirname(os.path.abspath(path))


def _find_path(import_name: str) -> str | None:
    try:
        spec = importlib.util.find_spec(import_name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.loader is None:
        return None
    if hasattr(spec.loader, "get_filename"):
        return t.cast("str", spec.loader.get_filename(import_name))
    module = importlib.import_module(import_name)
    path: str | None = getattr(module, "__file__", None)
    if path is None:
        raise RuntimeError(
            "No root path can be found for the provided module"
            f" {import_name!r}. This can happen because the module"
            " came from an import hook that does not provide file name"
            " information or because it's a namespace package. In this"
            " case the root path needs to be explicitly provided."
        )
    return path


@cache
def _split_blueprint_path(name: str) -> list[str]:
    """The dotted name of a blueprint and of those it is nested in, innermost first."""
    names = [name]
    while "." in name:
        name = name.rpartition(".")[0]
        names.append(name)
    return names


class _CollectErrors:
    """Run several functions so that one that raises does not keep the others from running.

    Example::

        collect = _CollectErrors()
        for function in functions:
            with collect:
                function()
        collect.raise_any("Errors while cleaning up")
    """

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if exc_value is not None:
            self.errors.append(exc_value)
        return True

    def raise_any(self, message: str) -> None:
        """Raise what was collected, if anything: one error as it is, several as a group.

        Of several cancellations, as by AnyIO, which cancels until it is obeyed, the first.

        :param message: what the group is about.
        """
        # Taken out of the object, since an error's traceback holds it: a reference cycle.
        errors, self.errors = self.errors, []
        try:
            if errors[1:] and not all(isinstance(e, asyncio.CancelledError) for e in errors):
                raise BaseExceptionGroup(message, errors)
            if errors:
                raise errors[0]
        finally:
            del errors


__getattr__ = passed_on(__name__)
