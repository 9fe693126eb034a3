"""The part of the application that only registers: no request, no I/O."""

from __future__ import annotations

import logging
import os
import sys
import typing as t
from datetime import timedelta
from itertools import chain

from werkzeug.exceptions import Aborter
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import BadRequestKeyError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BuildError
from werkzeug.routing import Rule
from werkzeug.wrappers import Response as BaseResponse

from .. import typing as ft
from ..config import Config
from ..config import ConfigAttribute
from ..ctx_app import _AppCtxGlobals
from ..helpers import _split_blueprint_path
from ..helpers import get_debug_flag
from ..json.provider import DefaultJSONProvider
from ..json.provider import JSONProvider
from ..lazy import held
from ..lazy import imported
from ..logging import create_logger
from ..pages import redirect_response
from ..passed_on import passed_on
from ..routing import Map
from .scaffold import _endpoint_from_view_func
from .scaffold import find_package
from .scaffold import setupmethod
from .scaffold import T_teardown
from .websockets import Websockets

if t.TYPE_CHECKING:
    import click
    from werkzeug.routing import Map as WerkzeugMap

    from ..templating import DispatchingJinjaLoader
    from ..templating import Environment
    from ..testing import FlaskClient
    from ..testing import FlaskCliRunner
    from .blueprints import Blueprint

T_shell_context_processor = t.TypeVar(
    "T_shell_context_processor", bound=ft.ShellContextProcessorCallable
)
T_template_filter = t.TypeVar("T_template_filter", bound=ft.TemplateFilterCallable)
T_template_global = t.TypeVar("T_template_global", bound=ft.TemplateGlobalCallable)
T_template_test = t.TypeVar("T_template_test", bound=ft.TemplateTestCallable)

_AUTOESCAPED = (".html", ".htm", ".xml", ".xhtml", ".svg")


def _make_timedelta(value: timedelta | int | None) -> timedelta | None:
    if value is None or isinstance(value, timedelta):
        return value
    return timedelta(seconds=value)


class App(Websockets):
    """Everything an application knows before it handles requests.

    :class:`.Flask` is the class to use; its documentation describes the parameters.
    """

    #: Makes :attr:`aborter`, which ``abort`` calls.
    aborter_class = Aborter
    #: Makes :attr:`jinja_env`.
    jinja_environment: type[Environment] = t.cast(
        "type[Environment]", imported("torsyq.templating", "Environment")
    )
    #: Makes ``g``.
    app_ctx_globals_class = _AppCtxGlobals
    #: Makes :attr:`config`.
    config_class = Config

    #: ``TESTING``: let exceptions reach the test client, and let extensions help testing.
    testing = ConfigAttribute[bool]("TESTING")
    #: ``SECRET_KEY``: signs session cookies and whatever else is signed.
    secret_key = ConfigAttribute[str | bytes | None]("SECRET_KEY")
    #: ``PERMANENT_SESSION_LIFETIME``: a timedelta, or seconds.
    permanent_session_lifetime = ConfigAttribute[timedelta](
        "PERMANENT_SESSION_LIFETIME",
        get_converter=_make_timedelta,  # type: ignore[arg-type]
    )

    #: Makes :attr:`json`.
    json_provider_class: type[JSONProvider] = DefaultJSONProvider
    #: Passed to :attr:`jinja_environment`; change it before :attr:`jinja_env` is first read.
    jinja_options: dict[str, t.Any] = {}
    #: Makes the rules of :attr:`url_map`.
    url_rule_class = Rule
    #: Makes :attr:`url_map`.
    url_map_class: type[WerkzeugMap] = Map

    #: What :meth:`test_client` makes; None stands for :class:`.FlaskClient`.
    test_client_class: type[FlaskClient] | None = None
    #: What :meth:`test_cli_runner` makes; None stands for :class:`.FlaskCliRunner`.
    test_cli_runner_class: type[FlaskCliRunner] | None = None

    # Whether templates reload because "debug" was set; None where it was not, or that is configured.
    _auto_reload: bool | None = None
    # Whether a rule has "stream_body".
    _streaming_rules = False

    default_config: dict[str, t.Any]
    response_class: type[BaseResponse]
    _got_first_request = False
    cli: click.Group

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
        super().__init__(
            import_name=import_name,
            static_folder=static_folder,
            static_url_path=static_url_path,
            template_folder=template_folder,
            root_path=root_path,
        )
        if instance_path is None:
            instance_path = self.auto_find_instance_path()
        elif not os.path.isabs(instance_path):
            raise ValueError(
                "If an instance path is provided it must be absolute."
                " A relative path was given instead."
            )
        #: The folder for files that belong to the deployment, not to the code.
        self.instance_path = instance_path
        #: A dictionary that also loads from files, objects and the environment.
        self.config = self.make_config(instance_relative_config)
        #: Raises HTTP errors by their status; ``abort`` calls it.
        self.aborter = self.make_aborter()
        #: Serializes and parses JSON for the app, its requests and its responses.
        self.json: JSONProvider = self.json_provider_class(self)
        self.teardown_appcontext_funcs: list[ft.TeardownCallable] = []
        #: The registered blueprints by their dotted names.
        self.blueprints: dict[str, Blueprint] = {}
        #: Where extensions keep their state, by the extension's name.
        self.extensions: dict[str, t.Any] = {}
        #: The rules, as a :class:`werkzeug.routing.Map`.
        self.url_map: WerkzeugMap = self.url_map_class(host_matching=host_matching)
        self.subdomain_matching = subdomain_matching

    def _check_setup_finished(self, f_name: str) -> None:
        if self._got_first_request:
            raise AssertionError(
                f"The setup method '{f_name}' can no longer be called on the application."
                " It has already handled its first request, any changes will not be applied"
                " consistently.\nMake sure all imports, decorators, functions, etc. needed to"
                " set up the application are done before running it."
            )

    @held
    def url_build_error_handlers(self) -> list[t.Callable[[Exception, str, dict[str, t.Any]], str]]:
        """Called in turn with ``(error, endpoint, values)`` when a URL can't be built."""
        return []

    @held
    def shell_context_processors(self) -> list[ft.ShellContextProcessorCallable]:
        """Give names to the shell, see :meth:`shell_context_processor`."""
        return []

    @held
    def name(self) -> str:
        """The import name, or the file's name where the app is the main program."""
        if self.import_name != "__main__":
            return self.import_name
        path: str | None = getattr(sys.modules["__main__"], "__file__", None)
        if path is None:
            return "__main__"
        return os.path.splitext(os.path.basename(path))[0]

    @held
    def logger(self) -> logging.Logger:
        """The standard logger named like the app, set up when first read."""
        return create_logger(self)

    @held
    def jinja_env(self) -> Environment:
        """The Jinja environment, made by :meth:`create_jinja_environment` when first read."""
        env = self.create_jinja_environment()
        if self._auto_reload is not None:
            env.auto_reload = self._auto_reload
        return env

    def create_jinja_environment(self) -> Environment:
        raise NotImplementedError()

    def make_config(self, instance_relative: bool = False) -> Config:
        """Make :attr:`config`; called once, by the constructor."""
        root_path = self.instance_path if instance_relative else self.root_path
        return self.config_class(root_path, {**self.default_config, "DEBUG": get_debug_flag()})

    def make_aborter(self) -> Aborter:
        """Make :attr:`aborter`; called once, by the constructor."""
        return self.aborter_class()

    def auto_find_instance_path(self) -> str:
        """The instance folder of an app that was not told one.

        ``instance`` beside an app that lies in a project folder, ``var/NAME-instance`` under the
        prefix of an installed one.
        """
        prefix, package_path = find_package(self.import_name)
        if prefix is None:
            return os.path.join(package_path, "instance")
        return os.path.join(prefix, "var", f"{self.name}-instance")

    def create_global_jinja_loader(self) -> DispatchingJinjaLoader:
        """Make the loader that looks in the app's folder and then in its blueprints'."""
        from ..templating import DispatchingJinjaLoader

        return DispatchingJinjaLoader(self)

    def select_jinja_autoescape(self, filename: str | None) -> bool:
        """Whether values are escaped in a template of that name; they are in one from a string."""
        return filename is None or filename.endswith(_AUTOESCAPED)

    @property
    def debug(self) -> bool:
        """``DEBUG``. Setting it also makes templates reload, unless that is configured."""
        return self.config["DEBUG"]  # type: ignore[no-any-return]

    @debug.setter
    def debug(self, value: bool) -> None:
        self.config["DEBUG"] = value
        if self.config["TEMPLATES_AUTO_RELOAD"] is None:
            # The environment, which would bring Jinja along, need not be made for that.
            self._auto_reload = value
            if App.jinja_env.is_made(self):
                self.jinja_env.auto_reload = value

    @setupmethod
    def register_blueprint(self, blueprint: Blueprint, **options: t.Any) -> None:
        """Add what *blueprint* recorded to the app.

        :param options: ``url_prefix``, ``subdomain``, ``url_defaults``, ``name``, ``cli_group``
            override what the blueprint was made with; the rest reaches its record functions.
        :raises ValueError: a blueprint of that name is registered already.
        """
        blueprint.register(self, options)

    def iter_blueprints(self) -> t.ValuesView[Blueprint]:
        """The registered blueprints in the order of registration."""
        return self.blueprints.values()

    @setupmethod
    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: ft.RouteCallable | None = None,
        provide_automatic_options: bool | None = None,
        **options: t.Any,
    ) -> None:
        """Route *rule* to *view_func*; :meth:`route` is the same as a decorator.

        :param rule: the path, with ``<converter:name>`` for its variable parts.
        :param endpoint: the name for ``url_for``; the function's own by default.
        :param provide_automatic_options: answer OPTIONS; by default unless the view does.
        :param options: ``methods`` and the other parameters of :class:`werkzeug.routing.Rule`, and
            ``stream_body=True`` for a view that reads its body, from ``request.stream``, while it
            arrives.
        :raises TypeError: ``methods`` is a string.
        :raises AssertionError: the endpoint has another function already.
        """
        if endpoint is None:
            endpoint = _endpoint_from_view_func(view_func)  # type: ignore[arg-type]
        methods = options.pop("methods", None)
        if methods is None:
            methods = getattr(view_func, "methods", None) or ("GET",)
        if isinstance(methods, str):
            raise TypeError(
                "Allowed methods must be a list of strings, for"
                ' example: @app.route(..., methods=["POST"])'
            )
        accepted = {method.upper() for method in methods}
        required = set(getattr(view_func, "required_methods", ()))

        if provide_automatic_options is None:
            provide_automatic_options = getattr(view_func, "provide_automatic_options", None)
        if provide_automatic_options is None:
            provide_automatic_options = (
                "OPTIONS" not in accepted and self.config["PROVIDE_AUTOMATIC_OPTIONS"]
            )
            if provide_automatic_options:
                required.add("OPTIONS")

        options["endpoint"] = endpoint
        stream_body = options.pop("stream_body", False)
        is_ours = options.pop("_is_ours", False)
        url_rule = self.url_rule_class(rule, methods=accepted | required, **options)
        url_rule.provide_automatic_options = provide_automatic_options  # type: ignore[attr-defined]
        if is_ours:
            url_rule.is_websocket_of_ours = True  # type: ignore[attr-defined]
        if stream_body:
            url_rule.stream_body = self._streaming_rules = True  # type: ignore[attr-defined]
        known = self.view_functions.get(endpoint)
        is_new = view_func is not None and known is None
        if is_new:
            # Before its rule, which another thread may match at once.
            self.view_functions[endpoint] = view_func  # type: ignore[assignment]
        try:
            self.url_map.add(url_rule)
        except BaseException:
            if is_new:
                del self.view_functions[endpoint]
            raise
        if view_func is not None and not is_new and known != view_func:
            raise AssertionError(
                f"View function mapping is overwriting an existing endpoint function: {endpoint}"
            )

    @setupmethod
    def template_filter(
        self, name: str | None = None
    ) -> t.Callable[[T_template_filter], T_template_filter]:
        """Decorate a function to be a template filter, under its own name or *name*.

        ::

            @app.template_filter()
            def thousands(number):  # {{ total|thousands }}
                return f"{number:,}"
        """

        def decorator(f: T_template_filter) -> T_template_filter:
            self.add_template_filter(f, name=name)
            return f

        return decorator

    @setupmethod
    def add_template_filter(self, f: ft.TemplateFilterCallable, name: str | None = None) -> None:
        """Make *f* a template filter, under its own name or *name*."""
        self.jinja_env.filters[name or f.__name__] = f

    @setupmethod
    def template_test(
        self, name: str | None = None
    ) -> t.Callable[[T_template_test], T_template_test]:
        """Decorate a function to be a template test (``x is name``), under its name or *name*.

        ::

            @app.template_test("leap")
            def is_leap(year):  # {% if year is leap %}
                return calendar.isleap(year)
        """

        def decorator(f: T_template_test) -> T_template_test:
            self.add_template_test(f, name=name)
            return f

        return decorator

    @setupmethod
    def add_template_test(self, f: ft.TemplateTestCallable, name: str | None = None) -> None:
        """Make *f* a template test (``x is name``), under its own name or *name*."""
        self.jinja_env.tests[name or f.__name__] = f

    @setupmethod
    def template_global(
        self, name: str | None = None
    ) -> t.Callable[[T_template_global], T_template_global]:
        """Decorate a function to be known to all templates, under its own name or *name*.

        ::

            @app.template_global()
            def icon(name):  # {{ icon("star") }}
                return Markup('<svg class="icon {}"></svg>').format(name)
        """

        def decorator(f: T_template_global) -> T_template_global:
            self.add_template_global(f, name=name)
            return f

        return decorator

    @setupmethod
    def add_template_global(self, f: ft.TemplateGlobalCallable, name: str | None = None) -> None:
        """Make *f* known to all templates, under its own name or *name*."""
        self.jinja_env.globals[name or f.__name__] = f

    @setupmethod
    def teardown_appcontext(self, f: T_teardown) -> T_teardown:
        """Have *f* called when an application context ends, with the error that ended it.

        That is at the end of each request and CLI command; the argument is None if all went well.

        ::

            @app.teardown_appcontext
            def close_db(error):
                db = g.pop("db", None)
                if db is not None:
                    db.close()
        """
        self.teardown_appcontext_funcs.append(f)
        return f

    @setupmethod
    def shell_context_processor(self, f: T_shell_context_processor) -> T_shell_context_processor:
        """Have the dictionary that *f* returns added to the names of ``flask shell``.

        ::

            @app.shell_context_processor
            def models():
                return {"db": db, "User": User}
        """
        self.shell_context_processors.append(f)
        return f

    def _find_error_handler(
        self, e: Exception, blueprints: list[str]
    ) -> ft.ErrorHandlerCallable | None:
        """The handler registered nearest to *e*.

        Handlers for a status code come before those for a class, the innermost blueprint's
        before the app's, and those for a class before those for its bases.
        """
        spec = self.error_handler_spec
        if not spec:
            return None
        code = type(e).code if isinstance(e, HTTPException) else None
        for c in (code, None) if code is not None else (None,):
            for name in (*blueprints, None) if blueprints else (None,):
                # Looked up without adding to it, since other threads iterate over it.
                by_code = spec.get(name)
                handlers = None if by_code is None else by_code.get(c)
                if not handlers:
                    continue
                for cls in type(e).__mro__:
                    handler = handlers.get(cls)
                    if handler is not None:
                        return handler
        return None

    def trap_http_exception(self, e: Exception) -> bool:
        """Whether an HTTP error is to be treated like any exception, not as an answer.

        ``TRAP_HTTP_EXCEPTIONS`` says so for all, ``TRAP_BAD_REQUEST_ERRORS`` for 400; in debug
        mode, a missing key in ``request.form`` and the like is trapped to show where it is.
        """
        if self.config["TRAP_HTTP_EXCEPTIONS"]:
            return True
        trap_bad_request = self.config["TRAP_BAD_REQUEST_ERRORS"]
        if trap_bad_request is None:
            return isinstance(e, BadRequestKeyError) and self.debug
        return bool(trap_bad_request) and isinstance(e, BadRequest)

    def should_ignore_error(self, error: BaseException | None) -> bool:
        """Whether the teardown functions are not to be told of *error*; for subclasses."""
        return False

    def redirect(self, location: str, code: int = 302) -> BaseResponse:
        """A redirect response of the app's :attr:`response_class`; see :func:`.redirect`."""
        return redirect_response(location, code, self.response_class)

    def inject_url_defaults(self, endpoint: str, values: dict[str, t.Any]) -> None:
        """Let the ``url_defaults`` functions of the app and *endpoint*'s blueprints add values."""
        if not self.url_default_functions:
            return
        names: t.Iterable[str | None] = (None,)
        if "." in endpoint:
            names = chain(names, reversed(_split_blueprint_path(endpoint.rpartition(".")[0])))
        for name in names:
            for func in self.url_default_functions.get(name, ()):
                # COMPAT: others derive from App, and only Flask can wait for an async function.
                ensure_sync = getattr(self, "ensure_sync", None)
                (func if ensure_sync is None else ensure_sync(func))(endpoint, values)

    def handle_url_build_error(
        self, error: BuildError, endpoint: str, values: dict[str, t.Any]
    ) -> str:
        """Ask :attr:`url_build_error_handlers` for the URL that could not be built.

        :raises BuildError: none of them had one; the last error that was raised.
        """
        for handler in self.url_build_error_handlers:
            try:
                url = handler(error, endpoint, values)
            except BuildError as another:
                error = another
            else:
                if url is not None:
                    return url
        if error is sys.exc_info()[1]:
            raise
        raise error


__getattr__ = passed_on(__name__)
