"""What an application and a blueprint have in common: places to register things.

:class:`Scaffold` holds the registries (plain dictionaries, extensions write to them) and the
decorators that fill them. Nothing here reads or sends anything.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import typing as t
from collections import defaultdict
from functools import update_wrapper

from werkzeug.exceptions import default_exceptions
from werkzeug.exceptions import HTTPException

from .. import typing as ft
from .._template_context import _default_template_ctx_processor
from ..helpers import get_root_path
from ..lazy import held
from ..passed_on import passed_on

if t.TYPE_CHECKING:
    from click import Group
    from jinja2 import BaseLoader

# "No value given", where ``None`` is a value.
_sentinel = object()

F = t.TypeVar("F", bound=t.Callable[..., t.Any])
T_after_request = t.TypeVar("T_after_request", bound=ft.AfterRequestCallable[t.Any])
T_before_request = t.TypeVar("T_before_request", bound=ft.BeforeRequestCallable)
T_error_handler = t.TypeVar("T_error_handler", bound=ft.ErrorHandlerCallable)
T_teardown = t.TypeVar("T_teardown", bound=ft.TeardownCallable)
T_template_context_processor = t.TypeVar(
    "T_template_context_processor", bound=ft.TemplateContextProcessorCallable
)
T_url_defaults = t.TypeVar("T_url_defaults", bound=ft.URLDefaultCallable)
T_url_value_preprocessor = t.TypeVar(
    "T_url_value_preprocessor", bound=ft.URLValuePreprocessorCallable
)
T_route = t.TypeVar("T_route", bound=ft.RouteCallable)


def setupmethod(f: F) -> F:
    """Mark a method as one that may only be called while the app is being set up.

    Calls ``self._check_setup_finished(name)`` first, which raises when it is too late.
    """
    f_name = f.__name__

    def wrapper_func(self: Scaffold, *args: t.Any, **kwargs: t.Any) -> t.Any:
        self._check_setup_finished(f_name)
        return f(self, *args, **kwargs)

    return t.cast(F, update_wrapper(wrapper_func, f))


class Scaffold:
    """The shared base of :class:`~torsyq.Flask` and :class:`~torsyq.Blueprint`.

    :param import_name: name of the module or package it is made in, usually ``__name__``;
        files are looked up beside it.
    :param static_folder: folder of static files, relative to ``root_path``.
    :param static_url_path: where they are served; the folder's own name if not given.
    :param template_folder: folder of templates, relative to ``root_path``.
    :param root_path: where files are looked up; found from ``import_name`` if not given.
    """

    name: str

    def __init__(
        self,
        import_name: str,
        static_folder: str | os.PathLike[str] | None = None,
        static_url_path: str | None = None,
        template_folder: str | os.PathLike[str] | None = None,
        root_path: str | None = None,
    ):
        self.import_name = import_name
        self.static_folder = static_folder
        self.static_url_path = static_url_path
        self.template_folder = template_folder
        self.root_path = get_root_path(import_name) if root_path is None else root_path

        # Every registry below but the first is keyed by scope first: ``None`` for all requests
        # of this object, else the name of a blueprint.

        #: View functions by endpoint.
        self.view_functions: dict[str, ft.RouteCallable] = {}
        #: Error handlers by scope, then status code (``None``: not an HTTP error), then class.
        self.error_handler_spec: dict[
            ft.AppOrBlueprintKey,
            dict[int | None, dict[type[Exception], ft.ErrorHandlerCallable]],
        ] = defaultdict(lambda: defaultdict(dict))
        #: Called before each request, see :meth:`before_request`.
        self.before_request_funcs: dict[ft.AppOrBlueprintKey, list[ft.BeforeRequestCallable]] = (
            defaultdict(list)
        )
        #: Called with each response, see :meth:`after_request`.
        self.after_request_funcs: dict[
            ft.AppOrBlueprintKey, list[ft.AfterRequestCallable[t.Any]]
        ] = defaultdict(list)
        #: Called when a request ends, see :meth:`teardown_request`.
        self.teardown_request_funcs: dict[ft.AppOrBlueprintKey, list[ft.TeardownCallable]] = (
            defaultdict(list)
        )
        #: Give names to templates, see :meth:`context_processor`.
        self.template_context_processors: dict[
            ft.AppOrBlueprintKey, list[ft.TemplateContextProcessorCallable]
        ] = defaultdict(list, {None: [_default_template_ctx_processor]})
        #: Change the values a URL carried, see :meth:`url_value_preprocessor`.
        self.url_value_preprocessors: dict[
            ft.AppOrBlueprintKey, list[ft.URLValuePreprocessorCallable]
        ] = defaultdict(list)
        #: Add values to a URL being built, see :meth:`url_defaults`.
        self.url_default_functions: dict[ft.AppOrBlueprintKey, list[ft.URLDefaultCallable]] = (
            defaultdict(list)
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def __getstate__(self) -> dict[str, t.Any]:
        # A copy holds the same, and from then on its own.
        return {**vars(self), "_held": {**vars(self).get("_held", {})}}

    def _check_setup_finished(self, f_name: str) -> None:
        raise NotImplementedError

    @held
    def cli(self) -> Group:
        """The Click group for this object's commands. Click is loaded when it is first used."""
        from ..cli import AppGroup

        return AppGroup(name=self.name)

    def _cli_in_use(self) -> bool:
        """Whether ``cli`` was read, set or overridden, so that it may have commands."""
        own = type(self).cli
        return own is not Scaffold.cli or own.is_made(self)

    # -- files ----------------------------------------------------------------------------

    @property
    def static_folder(self) -> str | None:
        """Absolute path of the folder of static files, ``None`` if there is none."""
        if self._static_folder is None:
            return None
        return os.path.join(self.root_path, self._static_folder)

    @static_folder.setter
    def static_folder(self, value: str | os.PathLike[str] | None) -> None:
        self._static_folder = None if value is None else os.fspath(value).rstrip(r"\/")

    @held
    def _static_folder(self) -> str | None:
        # As it was given, but for a slash at its end.
        return None

    @property
    def has_static_folder(self) -> bool:
        """Whether :attr:`static_folder` is set. The folder itself need not exist."""
        return self.static_folder is not None

    @property
    def static_url_path(self) -> str | None:
        """URL prefix of the static files; the last part of the folder's name if not set."""
        if self._static_url_path is not None:
            return self._static_url_path
        folder = self.static_folder
        if folder is None:
            return None
        return f"/{os.path.basename(folder)}".rstrip("/")

    @static_url_path.setter
    def static_url_path(self, value: str | None) -> None:
        self._static_url_path = None if value is None else value.rstrip("/")

    @held
    def _static_url_path(self) -> str | None:
        # As it was given, but for a slash at its end.
        return None

    @held
    def jinja_loader(self) -> BaseLoader | None:
        """The Jinja loader for :attr:`template_folder`, ``None`` if that is not set."""
        if self.template_folder is None:
            return None
        from jinja2 import FileSystemLoader

        return FileSystemLoader(os.path.join(self.root_path, self.template_folder))

    # -- routes ---------------------------------------------------------------------------

    def _method_route(
        self, method: str, rule: str, options: dict[str, t.Any]
    ) -> t.Callable[[T_route], T_route]:
        if "methods" in options:
            raise TypeError("Use the 'route' decorator to use the 'methods' argument.")
        return self.route(rule, methods=[method], **options)

    @setupmethod
    def get(self, rule: str, **options: t.Any) -> t.Callable[[T_route], T_route]:
        """:meth:`route` with ``methods=["GET"]``."""
        return self._method_route("GET", rule, options)

    @setupmethod
    def post(self, rule: str, **options: t.Any) -> t.Callable[[T_route], T_route]:
        """:meth:`route` with ``methods=["POST"]``."""
        return self._method_route("POST", rule, options)

    @setupmethod
    def put(self, rule: str, **options: t.Any) -> t.Callable[[T_route], T_route]:
        """:meth:`route` with ``methods=["PUT"]``."""
        return self._method_route("PUT", rule, options)

    @setupmethod
    def delete(self, rule: str, **options: t.Any) -> t.Callable[[T_route], T_route]:
        """:meth:`route` with ``methods=["DELETE"]``."""
        return self._method_route("DELETE", rule, options)

    @setupmethod
    def patch(self, rule: str, **options: t.Any) -> t.Callable[[T_route], T_route]:
        """:meth:`route` with ``methods=["PATCH"]``."""
        return self._method_route("PATCH", rule, options)

    @setupmethod
    def route(self, rule: str, **options: t.Any) -> t.Callable[[T_route], T_route]:
        """Answer requests for a URL with the decorated view function.

        ::

            @app.route("/user/<int:id>", methods=["GET", "POST"])
            def user(id): ...

        :param rule: the URL pattern, which starts with a slash.
        :param options: see :meth:`add_url_rule`; ``endpoint`` names the route, by default the
            function's name.
        """

        def decorator(f: T_route) -> T_route:
            endpoint = options.pop("endpoint", None)
            self.add_url_rule(rule, endpoint, f, **options)
            return f

        return decorator

    @setupmethod
    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: ft.RouteCallable | None = None,
        provide_automatic_options: bool | None = None,
        **options: t.Any,
    ) -> None:
        """Register a URL, its endpoint and the view function that answers it.

        ::

            app.add_url_rule("/", "index", view_func=index)

        A view function may itself carry ``methods``, ``required_methods`` (added to those) and
        ``provide_automatic_options``.

        :param rule: the URL pattern.
        :param endpoint: the route's name, by default the view function's.
        :param view_func: the function; may be left to :meth:`endpoint`.
        :param provide_automatic_options: whether ``OPTIONS`` is answered without the view.
        :param options: passed to :class:`werkzeug.routing.Rule`.
        """
        raise NotImplementedError

    @setupmethod
    def endpoint(self, endpoint: str) -> t.Callable[[F], F]:
        """Make the decorated function the view of an endpoint whose rule is added elsewhere.

        ::

            app.add_url_rule("/", endpoint="index")

            @app.endpoint("index")
            def index(): ...
        """

        def decorator(f: F) -> F:
            self.view_functions[endpoint] = f
            return f

        return decorator

    # -- hooks ----------------------------------------------------------------------------

    @setupmethod
    def before_request(self, f: T_before_request) -> T_before_request:
        """Call the function before each request's view.

        What it returns, unless ``None``, is the response, and the view is not called. On a
        blueprint it is called for the blueprint's own requests only.

        ::

            @app.before_request
            def ask_for_login():
                if "user" not in session and request.endpoint != "login":
                    return redirect(url_for("login"))
        """
        self.before_request_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def after_request(self, f: T_after_request) -> T_after_request:
        """Call the function with each response; it returns that or another response.

        It is not called when an exception nobody handled is on its way: use
        :meth:`teardown_request` for what must happen at all events.

        ::

            @app.after_request
            def keep_types(response):
                response.headers["X-Content-Type-Options"] = "nosniff"
                return response
        """
        self.after_request_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def teardown_request(self, f: T_teardown) -> T_teardown:
        """Call the function when the request's context goes away, with the exception or ``None``.

        Its result is ignored, and it must not raise.

        ::

            @app.teardown_request
            def note_error(error):
                if error is not None:
                    failures.labels(request.endpoint).inc()
        """
        self.teardown_request_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def context_processor(self, f: T_template_context_processor) -> T_template_context_processor:
        """Call the function before a template is rendered; the template sees what it returns.

        ::

            @app.context_processor
            def current_user():
                return {"user": g.user}
        """
        self.template_context_processors[None].append(f)
        return f

    @setupmethod
    def url_value_preprocessor(self, f: T_url_value_preprocessor) -> T_url_value_preprocessor:
        """Call the function with the endpoint and URL values, which it may change in place.

        It runs before the :meth:`before_request` functions, once the URL is matched.

        ::

            @blueprint.url_value_preprocessor
            def take_language(endpoint, values):
                g.language = values.pop("language")
        """
        self.url_value_preprocessors[None].append(f)
        return f

    @setupmethod
    def url_defaults(self, f: T_url_defaults) -> T_url_defaults:
        """Call the function with the endpoint and values of each URL built, to add to them.

        ::

            @blueprint.url_defaults
            def add_language(endpoint, values):
                values.setdefault("language", g.language)
        """
        self.url_default_functions[None].append(f)
        return f

    # -- errors ---------------------------------------------------------------------------

    @setupmethod
    def errorhandler(
        self, code_or_exception: type[Exception] | int
    ) -> t.Callable[[T_error_handler], T_error_handler]:
        """Answer errors of a status code or exception class with the decorated function.

        ::

            @app.errorhandler(404)
            def lost(error):
                return "Nothing here.", 404
        """

        def decorator(f: T_error_handler) -> T_error_handler:
            self.register_error_handler(code_or_exception, f)
            return f

        return decorator

    @setupmethod
    def register_error_handler(
        self,
        code_or_exception: type[Exception] | int,
        f: ft.ErrorHandlerCallable,
    ) -> None:
        """:meth:`errorhandler` as a plain call.

        :raises ValueError: for a code that is no HTTP error and a class that is no exception.
        :raises TypeError: for an exception that is not a class.
        """
        exc_class, code = self._get_exc_class_and_code(code_or_exception)
        self.error_handler_spec[None][code][exc_class] = f

    @staticmethod
    def _get_exc_class_and_code(
        exc_class_or_code: type[Exception] | int,
    ) -> tuple[type[Exception], int | None]:
        """The key of a handler: exception class, and status code if it is an HTTP error."""
        if isinstance(exc_class_or_code, int):
            exc_class = _class_of_code(exc_class_or_code)
        else:
            exc_class = exc_class_or_code

        if isinstance(exc_class, Exception):
            raise TypeError(
                f"{exc_class!r} is an instance, not a class. Handlers can only be registered"
                " for Exception classes or HTTP error codes."
            )
        if not issubclass(exc_class, Exception):
            raise ValueError(
                f"'{exc_class.__name__}' is not a subclass of Exception. Handlers can only be"
                " registered for Exception classes or HTTP error codes."
            )
        return exc_class, exc_class.code if issubclass(exc_class, HTTPException) else None


def _class_of_code(code: int) -> type[Exception]:
    try:
        return default_exceptions[code]
    except KeyError:
        raise ValueError(
            f"'{code}' is not a recognized HTTP error code. Use a subclass of HTTPException with"
            " that code instead."
        ) from None


def _endpoint_from_view_func(view_func: ft.RouteCallable) -> str:
    """The endpoint of a view that is registered without one: its name."""
    assert view_func is not None, "expected view func if endpoint is not provided."
    return view_func.__name__


def _find_package_path(import_name: str) -> str:
    """The folder a module's top-level package is imported from; the current one if unknown."""
    root_name = import_name.partition(".")[0]
    try:
        root = importlib.util.find_spec(root_name)
    except (ImportError, ValueError):
        # Not importable, or ``__main__`` in an interactive session.
        return os.getcwd()
    if root is None:
        return os.getcwd()

    locations = root.submodule_search_locations
    if locations is None:
        return os.path.dirname(t.cast(str, root.origin))
    if root.origin is None or root.origin == "namespace":
        return os.path.dirname(_portion_of_namespace(import_name, list(locations)))
    return os.path.dirname(os.path.dirname(root.origin))


def _portion_of_namespace(import_name: str, locations: list[str]) -> str:
    """Which folder of a namespace package (:pep:`420`) a module inside it comes from."""
    spec = importlib.util.find_spec(import_name)
    if spec is None or not spec.submodule_search_locations:
        return locations[0]
    package = os.path.commonpath(spec.submodule_search_locations)
    return next(place for place in locations if _is_inside(place, package))


def _is_inside(folder: str, path: str) -> bool:
    """Whether *path* is *folder* or lies in it, as :meth:`pathlib.PurePath.is_relative_to`.

    PERF: every app asks this once, and few others have loaded :mod:`pathlib` (1.5 % of a start).
    """
    try:
        return os.path.commonpath([folder, path]) == os.path.commonpath([folder])
    except ValueError:
        # One of them is not absolute, or on another drive.
        return False


def find_package(import_name: str) -> tuple[str | None, str]:
    """Where a package is installed, and the folder it is imported from.

    The first is the prefix: the folder above ``lib/pythonX.Y/site-packages``, or
    :data:`sys.prefix` for what lies elsewhere below that; ``None`` if it is not installed.
    """
    package_path = _find_package_path(import_name)
    prefix = os.path.abspath(sys.prefix)
    if _is_inside(prefix, package_path):
        return prefix, package_path

    parent, folder = os.path.split(package_path)
    if folder.lower() != "site-packages":
        return None, package_path
    above, lib = os.path.split(parent)
    if lib.lower() == "lib":  # Windows: prefix\Lib\site-packages
        return above, package_path
    if os.path.basename(above).lower() == "lib":  # prefix/lib/pythonX.Y/site-packages
        return os.path.dirname(above), package_path
    return parent, package_path


__getattr__ = passed_on(__name__)
