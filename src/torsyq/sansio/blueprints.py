"""Blueprints: a part of an application, set up apart from it and registered on it later.

A blueprint records what it is told as functions and runs them when it is registered, once for
every registration, each with a :class:`BlueprintSetupState` that says where it ends up.
"""

from __future__ import annotations

import os
import typing as t
from collections import defaultdict
from functools import update_wrapper

from .. import typing as ft
from ..passed_on import passed_on
from .app import App
from .app import T_template_filter
from .app import T_template_global
from .app import T_template_test
from .scaffold import _endpoint_from_view_func
from .scaffold import _sentinel
from .scaffold import setupmethod
from .scaffold import T_after_request
from .scaffold import T_before_request
from .scaffold import T_error_handler
from .scaffold import T_teardown
from .scaffold import T_template_context_processor
from .scaffold import T_url_defaults
from .scaffold import T_url_value_preprocessor
from .websockets import T_after_websocket
from .websockets import Websockets

DeferredSetupFunction = t.Callable[["BlueprintSetupState"], None]
F = t.TypeVar("F", bound=t.Callable[..., t.Any])
T_serving = t.TypeVar("T_serving", bound=t.Callable[[], t.Any])

# The registries that are lists by scope, in the order they are merged into the app's.
_LISTS_BY_SCOPE = (
    "before_request_funcs",
    "after_request_funcs",
    "teardown_request_funcs",
    "url_default_functions",
    "url_value_preprocessors",
    "template_context_processors",
    "before_websocket_funcs",
    "after_websocket_funcs",
    "teardown_websocket_funcs",
)


class BlueprintSetupState:
    """One registration of a blueprint: the app, the options, and what they work out to.

    Functions given to :meth:`Blueprint.record` get it.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        app: App,
        options: t.Any,
        first_registration: bool,
    ) -> None:
        #: The app being registered on.
        self.app = app
        #: The blueprint being registered.
        self.blueprint = blueprint
        #: What was passed to ``register_blueprint``.
        self.options = options
        #: Whether this blueprint was not registered on the app before, under any name.
        self.first_registration = first_registration

        def option_or(name: str, default: str | None) -> str | None:
            value: str | None = options.get(name)
            return default if value is None else value

        #: The subdomain for the blueprint's rules, ``None`` for the default one.
        self.subdomain = option_or("subdomain", blueprint.subdomain)
        #: The prefix for the blueprint's rules.
        self.url_prefix = option_or("url_prefix", blueprint.url_prefix)
        self.name: str = options.get("name", blueprint.name)
        self.name_prefix: str = options.get("name_prefix", "")
        #: Default values for all rules: the blueprint's, then the registration's.
        self.url_defaults: dict[str, t.Any] = dict(blueprint.url_values_defaults)
        self.url_defaults.update(options.get("url_defaults", ()))

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: ft.RouteCallable | None = None,
        **options: t.Any,
    ) -> None:
        """Add a rule to the app, with the prefixes of this registration before URL and endpoint."""
        if self.url_prefix is not None:
            if rule:
                rule = _join_paths(self.url_prefix, rule)
            else:
                rule = self.url_prefix
        options.setdefault("subdomain", self.subdomain)
        if endpoint is None:
            endpoint = _endpoint_from_view_func(view_func)  # type: ignore[arg-type]
        defaults = self.url_defaults
        if "defaults" in options:
            defaults = dict(defaults, **options.pop("defaults"))

        self.app.add_url_rule(
            rule,
            f"{self.name_prefix}.{self.name}.{endpoint}".lstrip("."),
            view_func,
            defaults=defaults,
            **options,
        )


class Blueprint(Websockets):
    """A part of an application: its routes, hooks, templates and static files, registered together.

    ::

        blog = Blueprint("blog", __name__, url_prefix="/blog")

        @blog.get("/")
        def index():
            return render_template("blog/index.html")

        app.register_blueprint(blog)

    :param name: what its endpoints start with; without dots.
    :param import_name: usually ``__name__``; files are looked up beside that module.
    :param static_folder: folder of static files; blueprints serve none by default.
    :param static_url_path: where those are served, below ``url_prefix``.
    :param template_folder: folder of templates; the app's own go before them.
    :param url_prefix: put before all its rules.
    :param subdomain: the subdomain its rules match on.
    :param url_defaults: default values for all its rules.
    :param root_path: where files are looked up; found from ``import_name`` if not given.
    :param cli_group: name of its group of commands, by default its own name; with ``None`` its
        commands are the app's own.
    :raises ValueError: for an empty name, or one with a dot.
    """

    _got_registered_once = False

    def __init__(
        self,
        name: str,
        import_name: str,
        static_folder: str | os.PathLike[str] | None = None,
        static_url_path: str | None = None,
        template_folder: str | os.PathLike[str] | None = None,
        url_prefix: str | None = None,
        subdomain: str | None = None,
        url_defaults: dict[str, t.Any] | None = None,
        root_path: str | None = None,
        cli_group: str | None = _sentinel,  # type: ignore[assignment]
    ):
        super().__init__(
            import_name=import_name,
            static_folder=static_folder,
            static_url_path=static_url_path,
            template_folder=template_folder,
            root_path=root_path,
        )
        if not name:
            raise ValueError("'name' may not be empty.")
        if "." in name:
            raise ValueError("'name' may not contain a dot '.' character.")

        self.name = name
        self.url_prefix = url_prefix
        self.subdomain = subdomain
        self.deferred_functions: list[DeferredSetupFunction] = []
        self.url_values_defaults = {} if url_defaults is None else url_defaults
        self.cli_group = cli_group
        self._blueprints: list[tuple[Blueprint, dict[str, t.Any]]] = []

    def _check_setup_finished(self, f_name: str) -> None:
        if self._got_registered_once:
            raise AssertionError(
                f"The setup method '{f_name}' can no longer be called on the blueprint"
                f" '{self.name}'. It has already been registered at least once, any changes will"
                " not be applied consistently.\nMake sure all imports, decorators, functions,"
                " etc. needed to set up the blueprint are done before registering it."
            )

    # -- registration -----------------------------------------------------------------------

    @setupmethod
    def record(self, func: DeferredSetupFunction) -> None:
        """Call the function with the :class:`BlueprintSetupState` at every registration."""
        self.deferred_functions.append(func)

    @setupmethod
    def record_once(self, func: DeferredSetupFunction) -> None:
        """:meth:`record`, but an app that gets the blueprint several times sees one call."""

        def wrapper(state: BlueprintSetupState) -> None:
            if state.first_registration:
                func(state)

        self.record(update_wrapper(wrapper, func))

    def make_setup_state(
        self, app: App, options: dict[str, t.Any], first_registration: bool = False
    ) -> BlueprintSetupState:
        """The state of a registration. Subclasses may return a class of their own."""
        return BlueprintSetupState(self, app, options, first_registration)

    @setupmethod
    def register_blueprint(self, blueprint: Blueprint, **options: t.Any) -> None:
        """Nest another blueprint in this one; prefixes, subdomains and names add up.

        :param options: as for :meth:`torsyq.Flask.register_blueprint`.
        :raises ValueError: for the blueprint itself.
        """
        if blueprint is self:
            raise ValueError("Cannot register a blueprint on itself")
        self._blueprints.append((blueprint, options))

    def register(self, app: App, options: dict[str, t.Any]) -> None:
        """Put everything recorded into the app; called by ``app.register_blueprint``.

        :param options: ``name`` and ``name_prefix`` (of the parents), ``url_prefix``,
            ``subdomain``, ``url_defaults``, ``cli_group``, and what subclasses look for.
        :raises ValueError: when the name is taken.
        """
        own_name = options.get("name", self.name)
        name = f"{options.get('name_prefix', '')}.{own_name}".lstrip(".")
        self._check_name_is_free(app, name, own_name)

        first_registration = all(bp is not self for bp in app.blueprints.values())
        app.blueprints[name] = self
        self._got_registered_once = True
        state = self.make_setup_state(app, options, first_registration)

        if self.has_static_folder:
            state.add_url_rule(
                f"{self.static_url_path}/<path:filename>",
                view_func=self.send_static_file,  # type: ignore[attr-defined]
                endpoint="static",
            )
        self._merge_blueprint_funcs(app, name)
        for deferred in self.deferred_functions:
            deferred(state)
        self._register_commands(app, name, options)
        for blueprint, own_options in self._blueprints:
            blueprint.register(app, _options_of_child(state, name, blueprint, own_options))

    def _check_name_is_free(self, app: App, name: str, own_name: str) -> None:
        if name not in app.blueprints:
            return
        which = "this" if app.blueprints[name] is self else "a different"
        existing_at = f" '{name}'" if own_name != name else ""
        raise ValueError(
            f"The name '{own_name}' is already registered for {which} blueprint{existing_at}."
            " Use 'name=' to provide a unique name."
        )

    def _register_commands(self, app: App, name: str, options: dict[str, t.Any]) -> None:
        # PERF: a blueprint without commands must not load Click.
        if not self._cli_in_use() or not self.cli.commands:
            return
        group = options.get("cli_group", self.cli_group)
        if group is None:
            app.cli.commands.update(self.cli.commands)
        else:
            self.cli.name = name if group is _sentinel else group
            app.cli.add_command(self.cli)

    def _merge_blueprint_funcs(self, app: App, name: str) -> None:
        """Add this blueprint's registries to the app's, under its name there."""

        def scope(key: ft.AppOrBlueprintKey) -> str:
            return name if key is None else f"{name}.{key}"

        for key, by_code in self.error_handler_spec.items():
            app.error_handler_spec[scope(key)] = defaultdict(
                dict, {code: dict(handlers) for code, handlers in by_code.items()}
            )
        app.view_functions.update(self.view_functions)
        for registry in _LISTS_BY_SCOPE:
            of_app: dict[str | None, list[t.Any]] = getattr(app, registry)
            of_blueprint: dict[str | None, list[t.Any]] = getattr(self, registry)
            for key, functions in of_blueprint.items():
                of_app[scope(key)].extend(functions)

    @setupmethod
    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: ft.RouteCallable | None = None,
        provide_automatic_options: bool | None = None,
        **options: t.Any,
    ) -> None:
        """Register a rule as :meth:`torsyq.Flask.add_url_rule` does.

        The URL prefix goes before the rule, the blueprint's name before the endpoint.

        :raises ValueError: for a dot in the endpoint, which separates it from the names.
        """
        if endpoint and "." in endpoint:
            raise ValueError("'endpoint' may not contain a dot '.' character.")
        if view_func and hasattr(view_func, "__name__") and "." in view_func.__name__:
            raise ValueError("'view_func' name may not contain a dot '.' character.")

        self.record(
            lambda state: state.add_url_rule(
                rule,
                endpoint,
                view_func,
                provide_automatic_options=provide_automatic_options,
                **options,
            )
        )

    # -- for the whole app: templates ---------------------------------------------------------

    @setupmethod
    def app_template_filter(
        self, name: str | None = None
    ) -> t.Callable[[T_template_filter], T_template_filter]:
        """Make the decorated function a filter in all templates.

        :param name: the filter's name, by default the function's.
        """

        def decorator(f: T_template_filter) -> T_template_filter:
            self.add_app_template_filter(f, name=name)
            return f

        return decorator

    @setupmethod
    def add_app_template_filter(
        self, f: ft.TemplateFilterCallable, name: str | None = None
    ) -> None:
        """:meth:`app_template_filter` as a plain call."""

        def register_template(state: BlueprintSetupState) -> None:
            state.app.jinja_env.filters[name or f.__name__] = f

        self.record_once(register_template)

    @setupmethod
    def app_template_test(
        self, name: str | None = None
    ) -> t.Callable[[T_template_test], T_template_test]:
        """Make the decorated function a test (``is ...``) in all templates.

        :param name: the test's name, by default the function's.
        """

        def decorator(f: T_template_test) -> T_template_test:
            self.add_app_template_test(f, name=name)
            return f

        return decorator

    @setupmethod
    def add_app_template_test(self, f: ft.TemplateTestCallable, name: str | None = None) -> None:
        """:meth:`app_template_test` as a plain call."""

        def register_template(state: BlueprintSetupState) -> None:
            state.app.jinja_env.tests[name or f.__name__] = f

        self.record_once(register_template)

    @setupmethod
    def app_template_global(
        self, name: str | None = None
    ) -> t.Callable[[T_template_global], T_template_global]:
        """Make the decorated function callable in all templates.

        :param name: its name there, by default the function's.
        """

        def decorator(f: T_template_global) -> T_template_global:
            self.add_app_template_global(f, name=name)
            return f

        return decorator

    @setupmethod
    def add_app_template_global(
        self, f: ft.TemplateGlobalCallable, name: str | None = None
    ) -> None:
        """:meth:`app_template_global` as a plain call."""

        def register_template(state: BlueprintSetupState) -> None:
            state.app.jinja_env.globals[name or f.__name__] = f

        self.record_once(register_template)

    # -- for the whole app: hooks and errors --------------------------------------------------

    def _in_app(self, registry: str, f: F) -> F:
        """Have the function added to a registry of the app, among those for every request."""
        self.record_once(lambda state: getattr(state.app, registry).setdefault(None, []).append(f))
        return f

    @setupmethod
    def before_app_request(self, f: T_before_request) -> T_before_request:
        """:meth:`before_request`, but for every request of the app."""
        return self._in_app("before_request_funcs", f)

    @setupmethod
    def after_app_request(self, f: T_after_request) -> T_after_request:
        """:meth:`after_request`, but for every request of the app."""
        return self._in_app("after_request_funcs", f)

    @setupmethod
    def teardown_app_request(self, f: T_teardown) -> T_teardown:
        """:meth:`teardown_request`, but for every request of the app."""
        return self._in_app("teardown_request_funcs", f)

    @setupmethod
    def app_context_processor(
        self, f: T_template_context_processor
    ) -> T_template_context_processor:
        """:meth:`context_processor`, but for templates rendered by any view."""
        return self._in_app("template_context_processors", f)

    @setupmethod
    def app_errorhandler(
        self, code: type[Exception] | int
    ) -> t.Callable[[T_error_handler], T_error_handler]:
        """:meth:`errorhandler`, but for errors of the whole app."""

        def decorator(f: T_error_handler) -> T_error_handler:
            def from_blueprint(state: BlueprintSetupState) -> None:
                state.app.errorhandler(code)(f)

            self.record_once(from_blueprint)
            return f

        return decorator

    @setupmethod
    def app_url_value_preprocessor(self, f: T_url_value_preprocessor) -> T_url_value_preprocessor:
        """:meth:`url_value_preprocessor`, but for every request of the app."""
        return self._in_app("url_value_preprocessors", f)

    @setupmethod
    def app_url_defaults(self, f: T_url_defaults) -> T_url_defaults:
        """:meth:`url_defaults`, but for every URL the app builds."""
        return self._in_app("url_default_functions", f)

    @setupmethod
    def before_app_websocket(self, f: T_before_request) -> T_before_request:
        """:meth:`before_websocket`, but for every WebSocket of the app."""
        return self._in_app("before_websocket_funcs", f)

    @setupmethod
    def after_app_websocket(self, f: T_after_websocket) -> T_after_websocket:
        """:meth:`after_websocket`, but for every WebSocket of the app."""
        return self._in_app("after_websocket_funcs", f)

    @setupmethod
    def teardown_app_websocket(self, f: T_teardown) -> T_teardown:
        """:meth:`teardown_websocket`, but for every WebSocket of the app."""
        return self._in_app("teardown_websocket_funcs", f)

    # -- serving ----------------------------------------------------------------------------

    @setupmethod
    def before_app_serving(self, f: T_serving) -> T_serving:
        """:meth:`.Flask.before_serving` of the app."""
        self.record_once(lambda state: state.app.before_serving_funcs.append(f))  # type: ignore[attr-defined]
        return f

    @setupmethod
    def after_app_serving(self, f: T_serving) -> T_serving:
        """:meth:`.Flask.after_serving` of the app."""
        self.record_once(lambda state: state.app.after_serving_funcs.append(f))  # type: ignore[attr-defined]
        return f

    @setupmethod
    def while_app_serving(self, f: T_serving) -> T_serving:
        """:meth:`.Flask.while_serving` of the app."""
        self.record_once(lambda state: state.app.while_serving_funcs.append(f))  # type: ignore[attr-defined]
        return f


def _join_paths(prefix: str, path: str) -> str:
    return f"{prefix.rstrip('/')}/{path.lstrip('/')}"


def _options_of_child(
    parent: BlueprintSetupState,
    parent_name: str,
    child: Blueprint,
    own_options: dict[str, t.Any],
) -> dict[str, t.Any]:
    """How to register a nested blueprint: its own options, below what its parent got."""
    options = own_options.copy()

    subdomain = options.get("subdomain")
    if subdomain is None:
        subdomain = child.subdomain
    if subdomain is None:
        subdomain = parent.subdomain
    elif parent.subdomain is not None:
        subdomain = f"{subdomain}.{parent.subdomain}"
    if subdomain is not None:
        options["subdomain"] = subdomain

    url_prefix = options.get("url_prefix")
    if url_prefix is None:
        url_prefix = child.url_prefix
    if url_prefix is None:
        url_prefix = parent.url_prefix
    elif parent.url_prefix is not None:
        url_prefix = _join_paths(parent.url_prefix, url_prefix)
    if url_prefix is not None:
        options["url_prefix"] = url_prefix

    options["name_prefix"] = parent_name
    return options


__getattr__ = passed_on(__name__)
