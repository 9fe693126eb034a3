"""The names every template sees: ``g``, ``request`` and ``session``, where they exist.

Apart from :mod:`torsyq.templating` because every app and blueprint registers this processor
when it is made, and an app that renders no template should not load Jinja.
"""

from __future__ import annotations

import typing as t

from .globals import _cv_app
from .globals import _cv_request


def _default_template_ctx_processor() -> dict[str, t.Any]:
    """What the current contexts have to offer a template; nothing outside of them."""
    names: dict[str, t.Any] = {}
    app_ctx = _cv_app.get(None)
    request_ctx = _cv_request.get(None)
    if app_ctx is not None:
        names["g"] = app_ctx.g
    if request_ctx is not None:
        names["request"] = request_ctx.request
        names["session"] = request_ctx.session
    return names
