"""How an app makes its contexts."""

from __future__ import annotations

import typing as t

from .ctx import RequestContext
from .ctx_app import AppContext
from .lazy import stock
from .sansio.app import App

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Contexts(App):
    """The part of :class:`.Flask` that makes contexts."""

    @stock
    def app_context(self) -> AppContext:
        """Make a context in which ``current_app`` is this app; push it with ``with``.

        Example::

            with app.app_context():
                create_tables()
        """
        return AppContext(self)  # type: ignore[arg-type]

    @stock
    def request_context(self, environ: WSGIEnvironment) -> RequestContext:
        """Make the context of a WSGI request; push it with ``with``.

        See :meth:`test_request_context` for one without a server.
        """
        return RequestContext(self, environ)  # type: ignore[arg-type]

    def test_request_context(self, *args: t.Any, **kwargs: t.Any) -> RequestContext:
        """Make the context of a request that is described instead of received.

        :param args: as :class:`.testing.EnvironBuilder`'s: ``path``, ``method``, ``data``,
            ``json``, ``headers`` ...

        Example::

            with app.test_request_context("/hello", method="POST"):
                assert request.path == "/hello"
        """
        from .testing import EnvironBuilder

        builder = EnvironBuilder(self, *args, **kwargs)  # type: ignore[arg-type]
        try:
            return self.request_context(builder.get_environ())
        finally:
            builder.close()
