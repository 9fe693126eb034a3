"""The application: what a web application is made of, and what it offers to its code."""

from __future__ import annotations

import os
import typing as t
import weakref
from datetime import timedelta
from urllib.parse import quote as _url_quote

from werkzeug.datastructures import ImmutableDict
from werkzeug.routing import BuildError
from werkzeug.routing import MapAdapter
from werkzeug.wsgi import get_host

from ._static import known_as_in
from ._static import StaticFiles
from .asgi_websocket import WebsocketWalk
from .calling import may_be_awaited
from .globals import _current_app_context
from .globals import _current_request_context
from .globals import g
from .globals import request
from .globals import session
from .helpers import get_debug_flag
from .helpers import get_flashed_messages
from .helpers import get_load_dotenv
from .known import Known
from .known import NOT_ASKED
from .known import OnLoop
from .known import STEPS
from .known import steps_of
from .lazy import is_stock
from .lazy import stock
from .logging import printable
from .passed_on import passed_on
from .routing import Map
from .rsgi import Rsgi
from .rsgi import Spoken
from .sessions import SecureCookieSessionInterface
from .sessions import SessionInterface
from .typing import ExcInfo
from .wrappers import Request
from .wrappers import Response

if t.TYPE_CHECKING:
    from .templating import Environment
    from .testing import FlaskClient
    from .testing import FlaskCliRunner
    from .testing_async import AsyncClient

# PERF: looked at when one of them is set, not in each request (4 % of one).
_ASKED_BY_CONTEXTS = frozenset(
    {
        "app_context",
        "create_url_adapter",
        "do_teardown_appcontext",
        "subdomain_matching",
        "url_map",
    }
)
# Those that decide on walks on the event loop.
_ASKED_BY_LOOP = STEPS | _ASKED_BY_CONTEXTS | {"__class__"}

# Stay as they are in the fragment of a URL.
_ANCHOR_SAFE = "%!#$&'()*+,/:;=?@"


class Flask(StaticFiles, WebsocketWalk, Rsgi):
    """A web application: a WSGI callable that routes requests to views.

    :param import_name: the module or package the app belongs to, usually ``__name__``; folders
        are looked for beside it.
    :param static_url_path: the URL of the static files; the folder's name by default.
    :param static_folder: the folder of the static files, None for none.
    :param static_host: the host of the static files; goes with ``host_matching``.
    :param host_matching: match hosts in rules instead of subdomains.
    :param subdomain_matching: match the subdomain before ``SERVER_NAME`` in rules.
    :param template_folder: the folder of the templates.
    :param instance_path: the folder for files of the deployment; found by default.
    :param instance_relative_config: load configuration files from the instance folder.
    :param root_path: the folder of the module, where it can't be told from ``import_name``.
    :raises ValueError: ``instance_path`` is not absolute.
    :raises AssertionError: ``static_host`` is given without ``host_matching`` or the reverse.

    Example::

        app = Flask(__name__)

        @app.get("/")
        def index():
            return "Hello, World!"
    """

    default_config = ImmutableDict(
        {
            "DEBUG": None,
            "TESTING": False,
            "PROPAGATE_EXCEPTIONS": None,
            "SECRET_KEY": None,
            "SECRET_KEY_FALLBACKS": None,
            "PERMANENT_SESSION_LIFETIME": timedelta(days=31),
            "USE_X_SENDFILE": False,
            "TRUSTED_HOSTS": None,
            "SERVER_NAME": None,
            "APPLICATION_ROOT": "/",
            "SESSION_COOKIE_NAME": "session",
            "SESSION_COOKIE_DOMAIN": None,
            "SESSION_COOKIE_PATH": None,
            "SESSION_COOKIE_HTTPONLY": True,
            "SESSION_COOKIE_SECURE": False,
            "SESSION_COOKIE_PARTITIONED": False,
            "SESSION_COOKIE_SAMESITE": None,
            "SESSION_REFRESH_EACH_REQUEST": True,
            "MAX_CONTENT_LENGTH": None,
            "MAX_FORM_MEMORY_SIZE": 500_000,
            "MAX_FORM_PARTS": 1_000,
            "SEND_FILE_MAX_AGE_DEFAULT": None,
            "TRAP_BAD_REQUEST_ERRORS": None,
            "TRAP_HTTP_EXCEPTIONS": False,
            "EXPLAIN_TEMPLATE_LOADING": False,
            "PREFERRED_URL_SCHEME": "http",
            "TEMPLATES_AUTO_RELOAD": None,
            "MAX_COOKIE_SIZE": 4093,
            "PROVIDE_AUTOMATIC_OPTIONS": True,
            # Torsyq's own.
            # The worker threads for sync functions under ASGI.
            "ASGI_THREADS": 40,
            "WEBSOCKET_MAX_MESSAGE_SIZE": 1024 * 1024,
            "WEBSOCKET_THREADS": 100,
            # Seconds that background tasks are given when the app stops.
            "BACKGROUND_TASK_SHUTDOWN_TIMEOUT": 5,
            # What the usual pages of HTTP errors may be written in; None: English.
            "ERROR_PAGE_LANGUAGES": None,
        }
    )

    #: Makes the request object.
    request_class: type[Request] = Request
    #: Makes the response object.
    response_class: type[Response] = Response
    #: Opens and saves the session.
    session_interface: SessionInterface = SecureCookieSessionInterface()

    # PERF: Python finds the methods of an object soonest whose attributes are at most 30, and whose
    # __dict__ nobody has asked for: 7 % of a text's request on CPython 3.11, 11 % on 3.12 and 3.13.
    # So what Flask does not have lies in here and in _held, which leaves an app room for some of its
    # own.
    _known: Known

    def __init__(
        self,
        import_name: str,
        static_url_path: str | None = None,
        static_folder: str | os.PathLike[str] | None = "static",
        static_host: str | None = None,
        host_matching: bool = False,
        subdomain_matching: bool = False,
        template_folder: str | os.PathLike[str] | None = "templates",
        instance_path: str | None = None,
        instance_relative_config: bool = False,
        root_path: str | None = None,
    ) -> None:
        object.__setattr__(self, "_known", Known())
        super().__init__(
            import_name=import_name,
            static_url_path=static_url_path,
            static_folder=static_folder,
            static_host=static_host,
            host_matching=host_matching,
            subdomain_matching=subdomain_matching,
            template_folder=template_folder,
            instance_path=instance_path,
            instance_relative_config=instance_relative_config,
            root_path=root_path,
        )
        if type(self).__call__ is Flask.__call__:
            object.__setattr__(self, "__call__", Spoken(self))

        if self.has_static_folder:
            assert bool(static_host) == host_matching, (
                "Invalid static_host/host_matching combination"
            )
            # The app does not hold itself through its view, so that it can be freed.
            app = weakref.ref(self)
            self.add_url_rule(
                f"{self.static_url_path}/<path:filename>",
                endpoint="static",
                host=static_host,
                view_func=known_as_in("flask.app")(
                    lambda **kw: app().send_static_file(**kw)  # type: ignore[union-attr]
                ),
            )

    @stock
    def __setattr__(self, name: str, value: t.Any) -> None:
        """Set an attribute, and look anew at what is known of the app because of it."""
        super().__setattr__(name, value)
        try:
            known: Known = object.__getattribute__(self, "_known")
        except AttributeError:
            return  # A subclass sets something before it calls the constructor.
        if name in _ASKED_BY_CONTEXTS:
            known.plain_contexts = self._has_plain_contexts()
        if name in _ASKED_BY_LOOP:
            known.on_loop = NOT_ASKED
        if name == "ensure_sync":
            # Known functions are called without it.
            known.sync_views = {}
            known.sync_hooks = {}

    def __getstate__(self) -> dict[str, t.Any]:
        known = Known(self._known.got_first_request, self._known.plain_contexts)
        return super().__getstate__() | {"_known": known}

    def _has_plain_contexts(self) -> bool:
        """Whether contexts begin and end, and URLs are matched, in Torsyq's own way and no other."""
        return (
            isinstance(getattr(self, "url_map", None), Map)
            and not getattr(self, "subdomain_matching", True)
            and is_stock(self.app_context)
            and is_stock(self.create_url_adapter)
            and is_stock(self.do_teardown_appcontext)
        )

    def _look_at_steps(self) -> OnLoop:
        """Whether anything is async, and no step of the walk replaced.

        What became async later, past the decorators, may be overlooked: then a thread waits for it,
        and it runs on the loop all the same.
        """
        mro = type(self).__mro__
        classes = mro[: mro.index(Flask) + 1]
        is_wanted = (
            is_stock(type(self).__setattr__)
            and all(map(is_stock, steps_of(self)))
            and any(map(may_be_awaited, self._functions()))
        )
        return OnLoop(len(self.view_functions), classes, is_wanted, self._known.plain_contexts)

    # URLs.

    @stock
    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Make what matches and builds URLs, for *request* or, if None, for ``SERVER_NAME``.

        :raises werkzeug.exceptions.SecurityError: the host is not one of ``TRUSTED_HOSTS``.
        """
        config = self.config
        if request is None:
            if config["SERVER_NAME"] is None:
                return None
            return self.url_map.bind(
                config["SERVER_NAME"],
                script_name=config["APPLICATION_ROOT"],
                url_scheme=config["PREFERRED_URL_SCHEME"],
            )
        environ = request.environ
        trusted_hosts = config["TRUSTED_HOSTS"]
        if trusted_hosts is not None:
            request.trusted_hosts = trusted_hosts
        if request.trusted_hosts is not None:
            # Else nothing can be refused, and the host is read when it is asked for.
            request.host = get_host(environ, request.trusted_hosts)

        server_name = None if self.url_map.host_matching else config["SERVER_NAME"]
        subdomain = None
        if not self.url_map.host_matching and not self.subdomain_matching:
            subdomain = self.url_map.default_subdomain or ""
        return self.url_map.bind_to_environ(environ, server_name=server_name, subdomain=subdomain)

    @stock
    def url_for(
        self,
        /,
        endpoint: str,
        *,
        _anchor: str | None = None,
        _method: str | None = None,
        _scheme: str | None = None,
        _external: bool | None = None,
        **values: t.Any,
    ) -> str:
        """Build the URL of *endpoint*; see :func:`.url_for`.

        :raises RuntimeError: there is no request and ``SERVER_NAME`` is not configured.
        :raises ValueError: ``_scheme`` is given with ``_external=False``.
        :raises werkzeug.routing.BuildError: no rule has that endpoint and those values.
        """
        return self._url_for(endpoint, values, _anchor, _method, _scheme, _external)

    def _url_for(
        self,
        endpoint: str,
        values: dict[str, t.Any],
        anchor: str | None,
        method: str | None,
        scheme: str | None,
        external: bool | None,
    ) -> str:
        ctx = _current_request_context(None)
        if ctx is not None:
            url_adapter = ctx.url_adapter
            if endpoint[:1] == ".":
                # Relative to the blueprint of the request.
                blueprint = ctx.request.blueprint
                endpoint = endpoint[1:] if blueprint is None else blueprint + endpoint
            if external is None:
                external = scheme is not None
        else:
            app_ctx = _current_app_context(None)
            url_adapter = self.create_url_adapter(None) if app_ctx is None else app_ctx.url_adapter
            if url_adapter is None:
                raise RuntimeError(
                    "Unable to build URLs outside an active request"
                    " without 'SERVER_NAME' configured. Also configure"
                    " 'APPLICATION_ROOT' and 'PREFERRED_URL_SCHEME' as"
                    " needed."
                )
            if external is None:
                external = True
        if scheme is not None and not external:
            raise ValueError("When specifying '_scheme', '_external' must be True.")

        self.inject_url_defaults(endpoint, values)
        try:
            url: str = url_adapter.build(  # type: ignore[union-attr]
                endpoint, values, method=method, url_scheme=scheme, force_external=external
            )
        except BuildError as error:
            values.update(_anchor=anchor, _method=method, _scheme=scheme, _external=external)
            return self.handle_url_build_error(error, endpoint, values)
        if anchor is not None:
            url = f"{url}#{_url_quote(anchor, safe=_ANCHOR_SAFE)}"
        return url

    # Files and templates.

    def open_instance_resource(
        self, resource: str, mode: str = "rb", encoding: str | None = "utf-8"
    ) -> t.IO[t.AnyStr]:
        """Open a file of the instance folder, for reading or writing.

        :param encoding: of a file opened as text.
        """
        path = os.path.join(self.instance_path, resource)
        return t.cast(
            "t.IO[t.AnyStr]", open(path, mode, encoding=None if "b" in mode else encoding)
        )

    def create_jinja_environment(self) -> Environment:
        """Make :attr:`jinja_env`, from :attr:`jinja_options` and the configuration."""
        options = dict(self.jinja_options)
        options.setdefault("autoescape", self.select_jinja_autoescape)
        if "auto_reload" not in options:
            auto_reload = self.config["TEMPLATES_AUTO_RELOAD"]
            options["auto_reload"] = self.debug if auto_reload is None else auto_reload
        env = self.jinja_environment(self, **options)
        env.globals.update(
            url_for=self.url_for,
            get_flashed_messages=get_flashed_messages,
            config=self.config,
            # The proxies reach templates that are rendered or imported without the context.
            request=request,
            session=session,
            g=g,
        )
        env.policies["json.dumps_function"] = self.json.dumps
        return env

    @stock
    def update_template_context(self, context: dict[str, t.Any]) -> None:
        """Add what the context processors return; what the view passed is not overridden."""
        passed = context.copy()
        names: list[str | None] = [None]
        ctx = _current_request_context(None)
        if ctx is not None:
            names.extend(reversed(ctx.request.blueprints))
        for name in names:
            for processor in self.template_context_processors.get(name, ()):
                context.update(self.ensure_sync(processor)())
        context.update(passed)

    # Development and tests.

    def make_shell_context(self) -> dict[str, t.Any]:
        """The names known in ``flask shell``."""
        names: dict[str, t.Any] = {"app": self, "g": g}
        for processor in self.shell_context_processors:
            names.update(processor())
        return names

    def run(
        self,
        host: str | None = None,
        port: int | None = None,
        debug: bool | None = None,
        load_dotenv: bool = True,
        **options: t.Any,
    ) -> None:
        """Serve the app with the development server. Not for production: see ``torsyq serve``.

        Does nothing where ``flask run`` is serving the app already. WebSockets and what else WSGI
        does not serve are served where an ASGI server is installed, as by ``torsyq run``.

        :param host: 127.0.0.1, or the host of ``SERVER_NAME``; ``0.0.0.0`` is seen from outside.
        :param port: 5000, or the port of ``SERVER_NAME``.
        :param debug: sets :attr:`debug`: reload on changes, show errors in the browser.
        :param load_dotenv: set environment variables from ``.env`` and ``.flaskenv``.
        :param options: passed to :func:`werkzeug.serving.run_simple`.
        """
        from .cli import load_dotenv as read_env_files
        from .cli import show_server_banner

        if os.environ.get("FLASK_RUN_FROM_CLI") == "true":
            _say_run_is_ignored()
            return
        if get_load_dotenv(load_dotenv):
            read_env_files()
            # The files may have set it.
            if "FLASK_DEBUG" in os.environ:
                self.debug = get_debug_flag()
        if debug is not None:
            self.debug = bool(debug)

        configured_host, _, configured_port = (self.config["SERVER_NAME"] or "").partition(":")
        if not port and port != 0:
            port = int(configured_port or 5000)
        options.setdefault("use_reloader", self.debug)
        options.setdefault("use_debugger", self.debug)
        options.setdefault("threaded", True)
        show_server_banner(self.debug, self.name)

        from .development import runner_of

        serve = runner_of(self, options)
        try:
            serve(host or configured_host or "127.0.0.1", int(port), self, **options)
        finally:
            # Where the server stopped without ending the process, set-up may go on.
            self._got_first_request = False

    def test_client(self, use_cookies: bool = True, **kwargs: t.Any) -> FlaskClient:
        """Make a client that calls the app without a server.

        :param use_cookies: keep cookies from one request to the next.
        :param kwargs: passed to :attr:`test_client_class`.

        Example::

            response = app.test_client().get("/")
            assert response.text == "Hello, World!"
        """
        from .testing import FlaskClient

        cls = self.test_client_class or FlaskClient
        return cls(self, self.response_class, use_cookies=use_cookies, **kwargs)

    def async_test_client(self, use_cookies: bool = True) -> AsyncClient:
        """Make a client for tests that are ``async def``: it calls the app over ASGI.

        :param use_cookies: keep cookies from one request to the next.

        Example::

            async with app.async_test_client() as client:
                response = await client.get("/")
        """
        from .testing_async import AsyncClient

        return AsyncClient(self, use_cookies)

    def log_exception(self, exc_info: ExcInfo) -> None:
        """Log an error that nobody handled, with the request's path and method."""
        # COMPAT: here and not where it is called from, since the log's lines name the module: app.
        self.logger.error(
            f"Exception on {printable(request.path)} [{printable(request.method)}]",
            exc_info=exc_info,
        )

    def _log_unfinished_answer(self) -> None:
        # COMPAT: here for the same reason.
        self.logger.exception("Request finalizing failed with an error while handling an error")

    def test_cli_runner(self, **kwargs: t.Any) -> FlaskCliRunner:
        """Make a runner that calls the app's commands without a terminal.

        :param kwargs: passed to :attr:`test_cli_runner_class`.
        """
        from .testing import FlaskCliRunner

        cls = self.test_cli_runner_class or FlaskCliRunner
        return cls(self, **kwargs)


def _say_run_is_ignored() -> None:
    from werkzeug.serving import is_running_from_reloader

    if not is_running_from_reloader():
        import click

        click.secho(
            " * Ignoring a call to 'app.run()' that would block"
            " the current 'flask' CLI command.\n"
            "   Only call 'app.run()' in an 'if __name__ =="
            ' "__main__"\' guard.',
            fg="red",
        )


__getattr__ = passed_on(__name__)
