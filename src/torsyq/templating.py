"""Templates: Jinja's environment, where its templates are found, and rendering them."""

from __future__ import annotations

import typing as t

from jinja2 import BaseLoader
from jinja2 import Environment as BaseEnvironment
from jinja2 import Template
from jinja2 import TemplateNotFound

from ._template_context import _default_template_ctx_processor as _default_template_ctx_processor
from .globals import _cv_request
from .globals import current_app
from .helpers import stream_with_context
from .signals import before_render_template
from .signals import template_rendered

if t.TYPE_CHECKING:
    from .app import Flask
    from .sansio.app import App
    from .sansio.scaffold import Scaffold

_Source = tuple[str, "str | None", "t.Callable[[], bool] | None"]


class Environment(BaseEnvironment):
    """Jinja's environment for an application: it finds templates in the application's folder
    and its blueprints'.

    :param app: the application.
    :param options: as Jinja's environment takes them.
    """

    def __init__(self, app: App, **options: t.Any) -> None:
        if "loader" not in options:
            options["loader"] = app.create_global_jinja_loader()
        super().__init__(**options)
        self.app = app


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


def _render(app: Flask, template: Template, context: dict[str, t.Any]) -> str:
    app.update_template_context(context)
    before_render_template.send(
        app, _async_wrapper=app.ensure_sync, template=template, context=context
    )
    text = template.render(context)
    template_rendered.send(app, _async_wrapper=app.ensure_sync, template=template, context=context)
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
    app = current_app._get_current_object()
    return _render(app, app.jinja_env.get_or_select_template(template_name_or_list), context)


def render_template_string(source: str, **context: t.Any) -> str:
    """Render a template given as text.

    SECURITY: never put what a client sent into the source: it would run. Hand it over as a
    variable.

    :param source: the template.
    :param context: the variables the template sees.
    """
    app = current_app._get_current_object()
    return _render(app, app.jinja_env.from_string(source), context)


def _stream(app: Flask, template: Template, context: dict[str, t.Any]) -> t.Iterator[str]:
    app.update_template_context(context)
    before_render_template.send(
        app, _async_wrapper=app.ensure_sync, template=template, context=context
    )

    def generate() -> t.Iterator[str]:
        yield from template.generate(context)
        template_rendered.send(
            app, _async_wrapper=app.ensure_sync, template=template, context=context
        )

    # Within a request the template may still ask for it while the server reads the stream.
    chunks = generate()
    return stream_with_context(chunks) if _cv_request.get(None) is not None else chunks


def stream_template(
    template_name_or_list: str | Template | list[str | Template], **context: t.Any
) -> t.Iterator[str]:
    """Render a template file piece by piece. The iterator can be a view's answer.

    :param template_name_or_list: as for :func:`render_template`.
    :param context: the variables the template sees.
    """
    app = current_app._get_current_object()
    return _stream(app, app.jinja_env.get_or_select_template(template_name_or_list), context)


def stream_template_string(source: str, **context: t.Any) -> t.Iterator[str]:
    """Render a template given as text piece by piece. The iterator can be a view's answer.

    :param source: as for :func:`render_template_string`.
    :param context: the variables the template sees.
    """
    app = current_app._get_current_object()
    return _stream(app, app.jinja_env.from_string(source), context)
