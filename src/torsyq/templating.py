"""Templates: Jinja's environment, where its templates are found, and rendering them."""

from __future__ import annotations

import sys
import typing as t
from collections import ChainMap
from operator import attrgetter

from jinja2 import BaseLoader
from jinja2 import Environment as BaseEnvironment
from jinja2 import nodes
from jinja2 import Template
from jinja2 import TemplateNotFound
from jinja2 import TemplateSyntaxError
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.runtime import new_context
from jinja2.tests import TESTS
from jinja2.utils import LRUCache

from ._template_context import _default_template_ctx_processor as _default_template_ctx_processor
from .globals import _current_app
from .globals import _current_request_context
from .globals import current_app as current_app
from .helpers import stream_with_context
from .passed_on import passed_on
from .signals import before_render_template
from .signals import template_rendered

if t.TYPE_CHECKING:
    from types import CodeType

    from blinker import NamedSignal

    from .app import Flask
    from .sansio.app import App
    from .sansio.scaffold import Scaffold

_Source = tuple[str, "str | None", "t.Callable[[], bool] | None"]


# How many templates that were given as text are kept, and how long ones.
_KEPT = 50
_KEPT_LENGTH = 1 << 14

# Filters and tests, since what they make of constants is known beforehand.
_compiling_depends_on = attrgetter(
    "filters", "tests", "extensions", "policies", "autoescape", "finalize", "optimized", "undefined",
    "is_async", "code_generator_class", "newstyle_gettext",
    "block_start_string", "block_end_string", "variable_start_string", "variable_end_string",
    "comment_start_string", "comment_end_string", "line_statement_prefix", "line_comment_prefix",
    "trim_blocks", "lstrip_blocks", "newline_sequence", "keep_trailing_newline",
)  # fmt: skip

# Tells "not compiled yet" from "to be compiled each time", which is None.
_unknown: t.Any = object()

# What ``row.items`` means in a template although the row has an item of that name.
_dict_attributes = frozenset(dir(dict))


def _may_be_constant(node: nodes.Node) -> bool:
    # What has a name in it is no constant, but where the name need not be read: ``1 or name``.
    kinds = {type(inner) for inner in node.find_all(nodes.Expr)}
    return nodes.Name not in kinds or not kinds.isdisjoint({nodes.CondExpr, nodes.And, nodes.Or})


class _Template(Template):
    """A template that makes its context cheaper."""

    def new_context(
        self,
        vars: dict[str, t.Any] | None = None,  # noqa: A002
        shared: bool = False,
        locals: t.Mapping[str, t.Any] | None = None,  # noqa: A002
    ) -> Context:
        """The context to render with.

        PERF: Jinja copies the globals out of a ChainMap one by one (17 us for those of an
        application); here they are one dict beforehand (1 us).
        """
        names: t.MutableMapping[str, t.Any] = self.globals
        if type(names) is ChainMap:
            names = {}
            for layer in reversed(self.globals.maps):  # type: ignore[attr-defined]
                names.update(layer)

        return new_context(self.environment, self.name, self.blocks, vars, shared, names, locals)


# COMPAT: logs and error messages show a template with its class.
_Template.__name__ = _Template.__qualname__ = "Template"
_Template.__module__ = Template.__module__


class Environment(BaseEnvironment):
    """Jinja's environment for an application: it finds templates in the application's folder
    and its blueprints'.

    :param app: the application.
    :param options: as Jinja's environment takes them.
    """

    template_class = _Template

    # Set by Jinja's extension for translations, where that is used.
    newstyle_gettext = False

    def __init__(self, app: App, **options: t.Any) -> None:
        if "loader" not in options:
            options["loader"] = app.create_global_jinja_loader()
        super().__init__(**options)
        self.app = app
        # Templates given as text, as code, and the settings they were compiled with: replaced in
        # one step, since another thread may be reading them.
        self._compiled: tuple[t.Any, LRUCache] = None, LRUCache(_KEPT)

    def overlay(self, *args: t.Any, **options: t.Any) -> t.Self:
        """An environment that shares what *options* do not change; see Jinja's."""
        made = super().overlay(*args, **options)
        made._compiled = None, LRUCache(_KEPT)
        return made

    def from_string(
        self,
        source: str | nodes.Template,
        globals: t.MutableMapping[str, t.Any] | None = None,  # noqa: A002
        template_class: type[Template] | None = None,
    ) -> Template:
        """A template given as text.

        PERF: the last ones are kept as code, as Jinja keeps those that come from files: rendering
        a line costs a fifteenth.
        """
        if not isinstance(source, str) or len(source) > _KEPT_LENGTH or self.cache is None:
            return super().from_string(source, globals, template_class)
        settings = _compiling_depends_on(self)
        compiled_with, compiled = self._compiled
        if settings != compiled_with:
            compiled_with = tuple(
                value.copy() if type(value) is dict else value for value in settings
            )
            compiled = LRUCache(_KEPT)
            self._compiled = compiled_with, compiled
        # An override of the app's may look at the request.
        escapes = self.autoescape(None) if callable(self.autoescape) else self.autoescape
        key = source, bool(escapes)
        code: CodeType | None = compiled.get(key, _unknown)
        if code is _unknown:
            tree = self.parse(source)
            is_always_alike = self._compiles_always_alike(tree)
            try:
                code = self.compile(tree)
            except TemplateSyntaxError:
                code = self.compile(source)  # An unknown filter: the error shows the source.
            kept = code if is_always_alike else None
            # Another thread may have changed the settings meanwhile.
            if _compiling_depends_on(self) == compiled_with:
                compiled[key] = kept
        elif code is None:
            code = self.compile(source)
        cls = template_class or self.template_class
        return cls.from_code(self, code, self.make_globals(globals), None)

    def _compiles_always_alike(self, tree: nodes.Template) -> bool:
        """Whether nothing but Jinja has a say in what a template is compiled to.

        What ``finalize`` and the app's own filters and tests make of a constant is part of the
        code, and may depend on the request: ``{{ "hello"|translate }}``.
        """
        if self.finalize is not None:
            return False
        if any(
            type(extension).__module__ != "jinja2.ext" for extension in self.extensions.values()
        ):
            return False
        known = (nodes.Filter, self.filters, FILTERS), (nodes.Test, self.tests, TESTS)
        # Looked up name by name: another thread may add some meanwhile.
        return not any(
            own.get(node.name) is not jinjas.get(node.name) and _may_be_constant(node)
            for kind, own, jinjas in known
            for node in tree.find_all(kind)
        )

    def getattr(self, obj: t.Any, attribute: str) -> t.Any:
        """What ``obj.attribute`` is in a template: an attribute, else an item.

        PERF: a row that is a dict has its items looked up first where no attribute is so called,
        since an AttributeError takes longer than the rest (0.15 instead of 0.8 us). Others are
        not asked by way of Jinja's method (a sixth of a loop that writes attributes of objects).
        """
        if type(obj) is dict and attribute in obj and attribute not in _dict_attributes:
            return obj[attribute]
        try:
            return getattr(obj, attribute)
        except AttributeError:
            pass
        try:
            return obj[attribute]
        except (AttributeError, LookupError, TypeError):
            return self.undefined(obj=obj, name=attribute)

    def __init_subclass__(cls, **kwargs: t.Any) -> None:
        """Let a class behind this one, such as Jinja's sandbox, read attributes in its own way."""
        super().__init_subclass__(**kwargs)
        behind = super().getattr
        if cls.getattr is Environment.getattr and behind is not BaseEnvironment.getattr:
            cls.getattr = behind  # type: ignore[method-assign]


class DispatchingJinjaLoader(BaseLoader):
    """Looks for a template with the application's loader, then with each blueprint's.

    :param app: the application.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    def get_source(self, environment: BaseEnvironment, template: str) -> _Source:
        """The source of the first template of that name. ``EXPLAIN_TEMPLATE_LOADING`` logs
        every place looked at.

        :raises TemplateNotFound: there is none.
        """
        if self.app.config["EXPLAIN_TEMPLATE_LOADING"]:
            return self._get_source_explained(environment, template)
        return self._get_source_fast(environment, template)

    def _get_source_explained(self, environment: BaseEnvironment, template: str) -> _Source:
        from .debughelpers import explain_template_loading_attempts

        attempts: list[tuple[BaseLoader, Scaffold, _Source | None]] = []
        found: _Source | None = None

        for owner, loader in self._iter_loaders(template):
            try:
                source: _Source | None = loader.get_source(environment, template)
            except TemplateNotFound:
                source = None
            found = found or source
            attempts.append((loader, owner, source))

        explain_template_loading_attempts(self.app, template, attempts)

        if found is None:
            raise TemplateNotFound(template)
        return found

    def _get_source_fast(self, environment: BaseEnvironment, template: str) -> _Source:
        for _owner, loader in self._iter_loaders(template):
            try:
                return loader.get_source(environment, template)
            except TemplateNotFound:
                continue
        raise TemplateNotFound(template)

    def _iter_loaders(self, template: str) -> t.Iterator[tuple[Scaffold, BaseLoader]]:
        """Each place that has templates, with its loader; the application comes first."""
        owners: list[Scaffold] = [self.app, *self.app.iter_blueprints()]

        for owner in owners:
            loader = owner.jinja_loader
            if loader is not None:
                yield owner, loader

    def list_templates(self) -> list[str]:
        """The names of all templates, each once."""
        return list(
            {name for _owner, loader in self._iter_loaders("") for name in loader.list_templates()}
        )


def _send(signal: NamedSignal, app: Flask, template: Template, context: dict[str, t.Any]) -> None:
    if signal.receivers:
        signal.send(app, _async_wrapper=app.ensure_sync, template=template, context=context)


def _render(app: Flask, template: Template, context: dict[str, t.Any]) -> str:
    app.update_template_context(context)
    _send(before_render_template, app, template, context)
    text = template.render(context)
    _send(template_rendered, app, template, context)
    return text


def render_template(
    template_name_or_list: str | Template | list[str | Template], **context: t.Any
) -> str:
    """Render a template file.

    :param template_name_or_list: its name, or a list of names of which the first that exists is
        taken.
    :param context: the variables the template sees.
    :raises jinja2.TemplateNotFound: there is no such template.

    .. code-block:: python

        return render_template("hello.html", name=name)
    """
    app = _current_app()
    return _render(app, app.jinja_env.get_or_select_template(template_name_or_list), context)


def render_template_string(source: str, **context: t.Any) -> str:
    """Render a template given as text.

    SECURITY: never put what a client sent into the source: it would run. Hand it over as a
    variable.

    :param source: the template.
    :param context: the variables the template sees.
    """
    app = _current_app()
    return _render(app, app.jinja_env.from_string(source), context)


def _stream(app: Flask, template: Template, context: dict[str, t.Any]) -> t.Iterator[str]:
    app.update_template_context(context)
    _send(before_render_template, app, template, context)

    def generate() -> t.Iterator[str]:
        yield from template.generate(context)
        _send(template_rendered, app, template, context)

    # Within a request the template may still ask for it while the server reads the stream.
    chunks = generate()
    return stream_with_context(chunks) if _current_request_context(None) is not None else chunks


def stream_template(
    template_name_or_list: str | Template | list[str | Template], **context: t.Any
) -> t.Iterator[str]:
    """Render a template file piece by piece. The iterator can be a view's answer.

    :param template_name_or_list: as for :func:`render_template`.
    :param context: the variables the template sees.

    .. code-block:: python

        return stream_template("report.html", rows=database.execute(query))
    """
    app = _current_app()
    return _stream(app, app.jinja_env.get_or_select_template(template_name_or_list), context)


def stream_template_string(source: str, **context: t.Any) -> t.Iterator[str]:
    """Render a template given as text piece by piece. The iterator can be a view's answer.

    :param source: as for :func:`render_template_string`.
    :param context: the variables the template sees.
    """
    app = _current_app()
    return _stream(app, app.jinja_env.from_string(source), context)


# COMPAT: who replaces one here replaces nothing in the package, which has its own from now on.
for _function in (render_template, render_template_string, stream_template, stream_template_string):
    setattr(sys.modules[__package__], _function.__name__, _function)

__getattr__ = passed_on(__name__)
