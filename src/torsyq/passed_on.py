"""Names that Flask's modules only import for themselves, and that others import from there.

COMPAT: ``from flask.app import Rule`` is nobody's documented way to it, but extensions go it, and
tests replace such names. Here each is found when asked for, so that importing stays light.
"""

from __future__ import annotations

import sys
import typing as t
from importlib import import_module
from types import ModuleType

# By module, a name and where it comes from: "module" for one of that name there,
# "module:other" for one with another name, "=module" for the module itself.
_SOURCES: dict[str, dict[str, str]] = {
    "app": {
        "App": ".sansio.app",
        "AppContext": ".ctx_app",
        "BadRequestKeyError": "werkzeug.exceptions",
        "BaseResponse": "werkzeug.wrappers:Response",
        "Environment": ".templating",
        "HTTPException": "werkzeug.exceptions",
        "Headers": "werkzeug.datastructures",
        "InternalServerError": "werkzeug.exceptions",
        "RequestContext": ".ctx",
        "RequestRedirect": "werkzeug.routing",
        "RoutingException": "werkzeug.routing",
        "Rule": "werkzeug.routing",
        "T_shell_context_processor": ".sansio.app",
        "T_teardown": ".sansio.app",
        "T_template_filter": ".sansio.app",
        "T_template_global": ".sansio.app",
        "T_template_test": ".sansio.app",
        "TracebackType": "types",
        "_cv_app": ".globals",
        "_cv_request": ".globals",
        "_make_timedelta": ".sansio.app",
        "_sentinel": ".ctx_app",
        "appcontext_tearing_down": ".signals",
        "cabc": "=collections.abc",
        "chain": "itertools",
        "cli": "=.cli",
        "click": "=click",
        "current_app": ".globals",
        "ft": "=.typing",
        "got_request_exception": ".signals",
        "is_running_from_reloader": "werkzeug.serving",
        "iscoroutinefunction": "inspect",
        "request_ctx": ".globals",
        "request_finished": ".signals",
        "request_started": ".signals",
        "request_tearing_down": ".signals",
        "send_from_directory": ".helpers",
        "sys": "=sys",
    },
    "blueprints": {
        "AppGroup": ".cli",
        "current_app": ".globals",
        "os": "=os",
        "send_from_directory": ".helpers",
        "timedelta": "datetime",
    },
    "cli": {
        "F": ".cli._script",
        "ModuleType": "types",
        "ast": "=ast",
        "cabc": "=collections.abc",
        "import_string": "werkzeug.utils",
        "inspect": "=inspect",
        "itemgetter": "operator",
        "re": "=re",
        "sys": "=sys",
        "update_wrapper": "functools",
    },
    "ctx": {
        "TracebackType": "types",
        "_cv_app": ".globals",
        "contextvars": "=contextvars",
    },
    "debughelpers": {
        "request_ctx": ".globals",
    },
    "helpers": {
        "_cv_app": ".globals",
        "_cv_request": ".globals",
        "werkzeug": "=werkzeug",
    },
    "json.tag": {
        "UUID": "uuid",
    },
    "sansio.app": {
        "DispatchingJinjaLoader": ".templating",
        "Environment": ".templating",
        "Response": "werkzeug.sansio.response",
        "Scaffold": ".sansio.scaffold",
        "_wz_redirect": "werkzeug.utils:redirect",
        "cached_property": "werkzeug.utils",
    },
    "sansio.blueprints": {
        "Scaffold": ".sansio.scaffold",
    },
    "sansio.scaffold": {
        "BaseLoader": "jinja2",
        "FileSystemLoader": "jinja2",
        "cached_property": "werkzeug.utils",
        "pathlib": "=pathlib",
    },
    "sessions": {
        "BadSignature": "itsdangerous",
        "URLSafeTimedSerializer": "itsdangerous",
        "timezone": "datetime",
    },
    "templating": {
        "_cv_app": ".globals",
        "_cv_request": ".globals",
        "request": ".globals",
    },
    "testing": {
        "TracebackType": "types",
    },
    "wrappers": {
        "BadRequest": "werkzeug.exceptions",
        "HTTPException": "werkzeug.exceptions",
        "RequestBase": "werkzeug.wrappers:Request",
        "ResponseBase": "werkzeug.wrappers:Response",
        "_split_blueprint_path": ".helpers",
        "current_app": ".globals",
        "json": "=.json",
        "t": "=typing",
    },
}


# Where the code is that Flask has in the module, and that reads the module's names.
_KEPT_IN: dict[str, tuple[str, ...]] = {
    "app": ("_static", "calling", "responses", "walk"),
    "blueprints": ("_static",),
    "cli": ("cli._discovery", "cli._params", "cli._routes", "cli._script", "cli._shell"),
    "helpers": ("files",),
    "wrappers": ("wrappers_request", "wrappers_response"),
}
_ABSENT = object()


class _Replaceable(ModuleType):
    """A module in which a name can be replaced, although the code that reads it is elsewhere.

    COMPAT: ``mock.patch("flask.cli.locate_app")``.
    """

    def __setattr__(self, name: str, value: t.Any) -> None:
        before = getattr(self, name, _ABSENT)
        super().__setattr__(name, value)
        self._replace(name, before, value)

    def __delattr__(self, name: str) -> None:
        before = getattr(self, name, _ABSENT)
        super().__delattr__(name)
        self._replace(name, before, getattr(self, name, _ABSENT))

    def _replace(self, name: str, before: t.Any, value: t.Any) -> None:
        if before is _ABSENT or value is _ABSENT:
            return
        package, _, own_name = self.__name__.partition(".")
        for place in _KEPT_IN[own_name]:
            module = sys.modules.get(f"{package}.{place}")
            if module is not None and vars(module).get(name, _ABSENT) is before:
                setattr(module, name, value)


def passed_on(module: str) -> t.Callable[[str], t.Any]:
    """Make the ``__getattr__`` (:pep:`562`) of *module*, for the names it passes on.

    Example::

        __getattr__ = passed_on(__name__)
    """
    package, _, name_here = module.partition(".")
    sources = _SOURCES[name_here]
    if name_here in _KEPT_IN:
        sys.modules[module].__class__ = _Replaceable

    def __getattr__(name: str) -> t.Any:
        source = sources.get(name)
        if source is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        if source[0] == "=":
            return import_module(source[1:], package)
        origin, _, name_there = source.partition(":")
        return getattr(import_module(origin, package), name_there or name)

    return __getattr__
