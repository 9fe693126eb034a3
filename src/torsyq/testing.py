"""What tests use: a client that makes requests, a runner for commands, a builder of environs."""

from __future__ import annotations

import importlib.metadata
import typing as t
from contextlib import contextmanager
from contextlib import ExitStack
from copy import copy
from urllib.parse import urlsplit

import werkzeug.test
from click.testing import CliRunner
from click.testing import Result
from werkzeug.test import Client
from werkzeug.wrappers import Request as BaseRequest

from .cli import ScriptInfo
from .passed_on import passed_on
from .sessions import SessionMixin

if t.TYPE_CHECKING:
    from types import TracebackType
    from wsgiref.types import WSGIEnvironment

    from werkzeug.test import TestResponse

    from .app import Flask


class EnvironBuilder(werkzeug.test.EnvironBuilder):
    """Build the WSGI environ of a request, with the app's config for what is not given.

    :param app: the app to configure by.
    :param path: the path requested, or a whole URL, whose scheme and host then are the base's.
    :param base_url: scheme, host and root path together; excludes the next two.
    :param subdomain: put before the host, which is ``SERVER_NAME`` or ``localhost``.
    :param url_scheme: the scheme, ``PREFERRED_URL_SCHEME`` otherwise.
    :param args: for :class:`werkzeug.test.EnvironBuilder`.
    :param kwargs: for :class:`werkzeug.test.EnvironBuilder`.
    """

    def __init__(
        self,
        app: Flask,
        path: str = "/",
        base_url: str | None = None,
        subdomain: str | None = None,
        url_scheme: str | None = None,
        *args: t.Any,
        **kwargs: t.Any,
    ) -> None:
        if base_url is None:
            base_url, path = _base_url_and_path(app, path, subdomain, url_scheme)
        elif subdomain or url_scheme:
            raise AssertionError('Cannot pass "subdomain" or "url_scheme" with "base_url".')
        self.app = app
        super().__init__(path, base_url, *args, **kwargs)

    def json_dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        """Write an object as JSON the way the app does."""
        return self.app.json.dumps(obj, **kwargs)


def _base_url_and_path(
    app: Flask, path: str, subdomain: str | None, url_scheme: str | None
) -> tuple[str, str]:
    url = urlsplit(path)
    scheme = url.scheme or url_scheme or app.config["PREFERRED_URL_SCHEME"]
    host = app.config.get("SERVER_NAME") or "localhost"
    if subdomain:
        host = f"{subdomain}.{host}"
    root = app.config["APPLICATION_ROOT"].lstrip("/")
    if url.query:
        path = f"{url.path}?{url.query}"
    else:
        path = url.path
    return f"{scheme}://{url.netloc or host}/{root}", path


_werkzeug_version = ""


def _get_werkzeug_version() -> str:
    """The version of Werkzeug, read once, for the client's ``User-Agent``."""
    global _werkzeug_version
    if not _werkzeug_version:
        _werkzeug_version = importlib.metadata.version("werkzeug")
    return _werkzeug_version


class FlaskClient(Client):
    """Make requests to an app without a server, by :meth:`.Flask.test_client`.

    Used in a ``with`` block, the contexts of the latest request stay current until the next
    request or the end of the block::

        with app.test_client() as client:
            client.post("/login", data={"name": "alice"})
            assert session["user"] == "alice"

    :param args: for :class:`werkzeug.test.Client`.
    :param kwargs: for :class:`werkzeug.test.Client`.
    """

    application: Flask

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self.preserve_context = False
        self._new_contexts: list[t.ContextManager[t.Any]] = []
        self._context_stack = ExitStack()
        #: What the environ of every request of this client starts from.
        self.environ_base = {
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_USER_AGENT": f"Werkzeug/{_get_werkzeug_version()}",
        }

    @contextmanager
    def session_transaction(self, *args: t.Any, **kwargs: t.Any) -> t.Iterator[SessionMixin]:
        """Open the client's session, to look into it or to change it between requests::

            with client.session_transaction() as session:
                session["user"] = "alice"

        :param args: for :meth:`.Flask.test_request_context`, if it matters for which request
            the session is opened.
        :param kwargs: likewise.
        :raises TypeError: the client keeps no cookies.
        :raises RuntimeError: the app's session interface opened no session.
        """
        if self._cookies is None:
            raise TypeError("Cookies are disabled. Create a client with 'use_cookies=True'.")
        app = self.application
        context = app.test_request_context(*args, **kwargs)
        self._add_cookies_to_wsgi(context.request.environ)
        with context:
            session = app.session_interface.open_session(app, context.request)
        if session is None:
            raise RuntimeError("Session backend did not open a session.")
        yield session
        response = app.response_class()
        if app.session_interface.is_null_session(session):
            return
        with context:
            app.session_interface.save_session(app, session, response)
        self._update_cookies_from_response(
            context.request.host.partition(":")[0],
            context.request.path,
            response.headers.getlist("Set-Cookie"),
        )

    def _copy_environ(self, other: WSGIEnvironment) -> WSGIEnvironment:
        environ = {**self.environ_base, **other}
        if self.preserve_context:
            environ["werkzeug.debug.preserve_context"] = self._new_contexts.append
        return environ

    def _request_from_builder_args(
        self, args: tuple[t.Any, ...], kwargs: dict[str, t.Any]
    ) -> BaseRequest:
        kwargs["environ_base"] = self._copy_environ(kwargs.get("environ_base", {}))
        builder = EnvironBuilder(self.application, *args, **kwargs)
        try:
            return builder.get_request()
        finally:
            builder.close()

    def _request_from(self, args: tuple[t.Any, ...], kwargs: dict[str, t.Any]) -> BaseRequest:
        given = args[0] if args else None
        if isinstance(given, werkzeug.test.EnvironBuilder):
            builder = copy(given)
            builder.environ_base = self._copy_environ(dict(builder.environ_base or {}))
            return builder.get_request()
        if isinstance(given, dict):
            environ_base = self._copy_environ({})
            return EnvironBuilder.from_environ(
                given, app=self.application, environ_base=environ_base
            ).get_request()
        if isinstance(given, BaseRequest):
            request = copy(given)
            request.environ = self._copy_environ(request.environ)
            return request
        return self._request_from_builder_args(args, kwargs)

    def open(
        self,
        *args: t.Any,
        buffered: bool = False,
        follow_redirects: bool = False,
        **kwargs: t.Any,
    ) -> TestResponse:
        """Make a request and return the answer.

        :param args: for :class:`EnvironBuilder`; or one builder, environ or request to send.
        :param buffered: read the whole answer and close it.
        :param follow_redirects: go on until the answer is not a redirect.
        :param kwargs: for :class:`EnvironBuilder`.
        """
        request = self._request_from(args, kwargs)
        self._context_stack.close()
        response = super().open(request, buffered=buffered, follow_redirects=follow_redirects)
        response.json_module = self.application.json  # type: ignore[assignment]
        for context in self._new_contexts:
            self._context_stack.enter_context(context)
        self._new_contexts.clear()
        return response

    def __enter__(self) -> t.Self:
        if self.preserve_context:
            raise RuntimeError("Cannot nest client invocations")
        self.preserve_context = True
        return self

    def __exit__(
        self,
        exc_type: type | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.preserve_context = False
        self._context_stack.close()


class FlaskCliRunner(CliRunner):
    """Run an app's commands in a test, by :meth:`.Flask.test_cli_runner`.

    :param app: the app.
    :param kwargs: for :class:`click.testing.CliRunner`.
    """

    def __init__(self, app: Flask, **kwargs: t.Any) -> None:
        self.app = app
        super().__init__(**kwargs)

    def invoke(  # type: ignore[override]
        self, cli: t.Any = None, args: t.Any = None, **kwargs: t.Any
    ) -> Result:
        """Run a command and return its exit code and output::

            assert "Hello" in app.test_cli_runner().invoke(args=["hello"]).output

        :param cli: the command, ``app.cli`` otherwise.
        :param args: its command line, a string or a list.
        :param kwargs: for :meth:`click.testing.CliRunner.invoke`.
        """
        if cli is None:
            cli = self.app.cli
        if "obj" not in kwargs:
            kwargs["obj"] = ScriptInfo(create_app=lambda: self.app)
        return super().invoke(cli, args, **kwargs)


__getattr__ = passed_on(__name__)
