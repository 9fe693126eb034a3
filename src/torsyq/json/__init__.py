"""JSON as the current application writes and reads it.

Within an application context these call ``current_app.json``; without one, the standard
library, with the types :class:`~torsyq.json.provider.DefaultJSONProvider` adds.
"""

from __future__ import annotations

import json as _json
import typing as t

from ..globals import _current_app_or_none
from ..globals import current_app
from .provider import _default as _default

if t.TYPE_CHECKING:
    from ..wrappers import Response


def dumps(obj: t.Any, **kwargs: t.Any) -> str:
    """Give the object as JSON text.

    :param kwargs: handed to the provider's ``dumps``, or to :func:`json.dumps`.
    """
    app = _current_app_or_none()
    if app is not None:
        return app.json.dumps(obj, **kwargs)

    kwargs.setdefault("default", _default)
    return _json.dumps(obj, **kwargs)


def dump(obj: t.Any, fp: t.IO[str], **kwargs: t.Any) -> None:
    """Write the object as JSON to a text file.

    :param kwargs: handed to the provider's ``dump``, or to :func:`json.dump`.
    """
    app = _current_app_or_none()
    if app is not None:
        app.json.dump(obj, fp, **kwargs)
    else:
        kwargs.setdefault("default", _default)
        _json.dump(obj, fp, **kwargs)


def loads(s: str | bytes, **kwargs: t.Any) -> t.Any:
    """Read JSON from text or UTF-8 bytes.

    :param kwargs: handed to the provider's ``loads``, or to :func:`json.loads`.
    """
    app = _current_app_or_none()
    if app is not None:
        return app.json.loads(s, **kwargs)

    return _json.loads(s, **kwargs)


def load(fp: t.IO[t.AnyStr], **kwargs: t.Any) -> t.Any:
    """Read JSON from an open file.

    :param kwargs: handed to the provider's ``load``, or to :func:`json.load`.
    """
    app = _current_app_or_none()
    if app is not None:
        return app.json.load(fp, **kwargs)

    return _json.load(fp, **kwargs)


def jsonify(*args: t.Any, **kwargs: t.Any) -> Response:
    """Give a response with the JSON of one value, of several as a list, or of the keyword
    arguments as a dict. A view may as well return the dict or list itself.

    :raises TypeError: both positional and keyword arguments were given.

    .. code-block:: python

        @app.get("/me")
        def me():
            return jsonify(name=g.user.name, admin=False)
    """
    return current_app.json.response(*args, **kwargs)  # type: ignore[return-value]
