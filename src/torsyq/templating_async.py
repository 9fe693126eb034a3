"""Templates rendered on the event loop: they may await, and so may context processors.

In these templates calls of ``async def`` functions are awaited and ``for`` takes async iterators.
Jinja compiles a template anew for that, so the async environment is made when first used. It
shares filters, tests and globals with the app's own.
"""

from __future__ import annotations

import typing as t

from .globals import _current_app
from .globals import _current_request_context
from .helpers import stream_with_context
from .lazy import is_stock
from .signals import before_render_template
from .signals import template_rendered

if t.TYPE_CHECKING:
    from blinker import NamedSignal
    from jinja2 import Environment
    from jinja2 import Template

    from .app import Flask

_Name: t.TypeAlias = "str | Template | list[str | Template]"


async def render_template_async(template_name_or_list: _Name, **context: t.Any) -> str:
    """Render a template file on the event loop.

    :param template_name_or_list: its name, or a list of names of which the first that exists is
        taken.
    :param context: the variables the template sees.
    :raises jinja2.TemplateNotFound: there is no such template.

    Example::

        @app.get("/<int:id>")
        async def post(id):
            return await render_template_async("post.html", comments=fetch_comments(id))
    """
    app = _current_app()
    return await _render(
        app, _environment(app).get_or_select_template(template_name_or_list), context
    )


async def render_template_string_async(source: str, **context: t.Any) -> str:
    """Render a template given as text on the event loop.

    SECURITY: never put what a client sent into the source: it would run. Hand it over as a
    variable.

    :param source: the template.
    :param context: the variables the template sees.
    """
    app = _current_app()
    return await _render(app, _environment(app).from_string(source), context)


async def stream_template_async(
    template_name_or_list: _Name, **context: t.Any
) -> t.AsyncIterator[str]:
    """Render a template file piece by piece. What is awaited can be a view's answer.

    :param template_name_or_list: as for :func:`render_template_async`.
    :param context: the variables the template sees.
    """
    app = _current_app()
    return await _stream(
        app, _environment(app).get_or_select_template(template_name_or_list), context
    )


async def stream_template_string_async(source: str, **context: t.Any) -> t.AsyncIterator[str]:
    """Render a template given as text piece by piece. What is awaited can be a view's answer.

    :param source: as for :func:`render_template_string_async`.
    :param context: the variables the template sees.
    """
    app = _current_app()
    return await _stream(app, _environment(app).from_string(source), context)


def _environment(app: Flask) -> Environment:
    """The async twin of the app's environment, made when first asked for."""
    env = app.jinja_env
    twin: Environment | None = getattr(env, "async_twin", None)
    if twin is None:
        twin = env.overlay()
        # As Jinja before 3.1.5 does not take it from an argument of overlay().
        twin.is_async = True
        # Only now, and the one that was first: another loop may be asking for it.
        twin = t.cast("Environment", env.__dict__.setdefault("async_twin", twin))
    twin.auto_reload = env.auto_reload
    return twin


async def _update_context(app: Flask, context: dict[str, t.Any]) -> None:
    """:meth:`.Flask.update_template_context`, with context processors that may be async."""
    if not is_stock(app.update_template_context):
        return await app._call(app.update_template_context, context)  # type: ignore[no-any-return]
    passed = context.copy()
    names: list[str | None] = [None]
    ctx = _current_request_context(None)
    if ctx is not None:
        names.extend(reversed(ctx.request.blueprints))
    for name in names:
        for processor in app.template_context_processors.get(name, ()):
            context.update(await app._call(processor))
    context.update(passed)


async def _send(
    signal: NamedSignal, app: Flask, template: Template, context: dict[str, t.Any]
) -> None:
    if signal.receivers:
        await signal.send_async(
            app, _sync_wrapper=app._sync_wrapper, template=template, context=context
        )


async def _render(app: Flask, template: Template, context: dict[str, t.Any]) -> str:
    await _update_context(app, context)
    await _send(before_render_template, app, template, context)
    text = await template.render_async(context)
    await _send(template_rendered, app, template, context)
    return text


async def _stream(
    app: Flask, template: Template, context: dict[str, t.Any]
) -> t.AsyncIterator[str]:
    await _update_context(app, context)
    await _send(before_render_template, app, template, context)

    async def generate() -> t.AsyncIterator[str]:
        async for text in template.generate_async(context):
            yield text
        await _send(template_rendered, app, template, context)

    # Within a request the template may still ask for it while the server reads the stream.
    chunks = generate()
    return stream_with_context(chunks) if _current_request_context(None) is not None else chunks
