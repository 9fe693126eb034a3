"""The names every template sees from the contexts: ``g`` and ``request``, where they exist.

Apart from :mod:`torsyq.templating` because every app and blueprint registers this processor
when it is made, and an app that renders no template should not load Jinja.
"""

from __future__ import annotations

import typing as t

from .globals import _current_app_context
from .globals import _current_request_context
from .lazy import stock


@stock
def _default_template_ctx_processor() -> dict[str, t.Any]:
    """What the current contexts have to offer a template; nothing outside of them.

    COMPAT: the session is not among them, since taking it from its context marks it as accessed,
    which sends ``Vary: Cookie``. Templates know it, as the proxy, from the environment's globals.
    """
    names: dict[str, t.Any] = {}
    app_ctx = _current_app_context(None)
    request_ctx = _current_request_context(None)
    if app_ctx is not None:
        names["g"] = app_ctx.g
    if request_ctx is not None:
        names["request"] = request_ctx.request
    return names
