"""The session: a dict that a client carries from request to request in a signed cookie.

A :class:`SessionInterface` opens and saves it. :class:`SecureCookieSessionInterface`, which an
application has unless it is given another, signs the data with the application's secret key: a
client can read it, but not change it.
"""

from __future__ import annotations

import collections.abc as c
import hashlib
import typing as t
from collections.abc import MutableMapping
from datetime import datetime
from datetime import UTC

from werkzeug.datastructures import CallbackDict

from .cookies import find_cookie
from .json.tag import TaggedJSONSerializer
from .lazy import deferred
from .lazy import stock
from .passed_on import passed_on
from .wrappers import Request
from .wrappers import Response

if t.TYPE_CHECKING:
    import itsdangerous
    from itsdangerous import URLSafeTimedSerializer

    from . import signing
    from .app import Flask
else:
    itsdangerous = deferred("itsdangerous", globals())
    signing = deferred("torsyq.signing", globals())


class SessionMixin(MutableMapping[str, t.Any]):
    """What a session has besides being a dict."""

    @property
    def permanent(self) -> bool:
        """Whether the session lives for ``PERMANENT_SESSION_LIFETIME``; kept in the session
        itself, as ``_permanent``. Else it ends with the browser."""
        return self.get("_permanent", False)  # type: ignore[no-any-return]

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self["_permanent"] = bool(value)

    #: Whether the session was made just now. Not every interface tells.
    new = False

    #: Whether the data changed. ``True`` for good where an implementation can't tell.
    modified = True

    #: Whether the session was looked at in this request. Set when it is taken from the context.
    accessed = False


class SecureCookieSession(CallbackDict[str, t.Any], SessionMixin):
    """The session in a signed cookie: a dict that notices when a key is set or removed.

    A change inside a value, such as an item put into a list, goes unnoticed: set
    ``session.modified = True`` after it.

    :param initial: the first content.
    """

    #: Whether the data changed.
    modified = False

    @staticmethod
    def on_update(session: SecureCookieSession) -> None:
        """Called by the dict's methods after a change."""
        session.modified = True

    def __init__(self, initial: c.Mapping[str, t.Any] | None = None) -> None:
        # The callback is the class's, not each instance's: so a session can be pickled.
        dict.__init__(self, () if initial is None else initial)


class NullSession(SecureCookieSession):
    """The session of an application without a secret key: empty, and any write says why."""

    def _refuse_change(self, *args: t.Any, **kwargs: t.Any) -> t.NoReturn:
        raise RuntimeError(
            "The session is unavailable because no secret key was set.  Set the secret_key on the"
            " application to something unique and secret."
        )

    __setitem__ = __delitem__ = _refuse_change
    setdefault = update = _refuse_change
    pop = popitem = clear = _refuse_change


class SessionInterface:
    """Opens and saves sessions. A subclass gives :meth:`open_session` and :meth:`save_session`,
    and goes to ``app.session_interface``.

    .. code-block:: python

        class MemorySessions(SessionInterface):
            def open_session(self, app, request):
                return store.get(request.cookies.get(self.get_cookie_name(app)))

            def save_session(self, app, session, response): ...

        app.session_interface = MemorySessions()
    """

    #: Made when :meth:`open_session` gives ``None``.
    null_session_class = NullSession

    #: Whether sessions are pickled. For extensions that want to know.
    pickle_based = False

    # Whether a session may be opened at the first touch instead of before each request: nobody
    # can tell, since opening and saving an untouched one have no effects of their own.
    _lazy: t.ClassVar[bool] = False

    def make_null_session(self, app: Flask) -> NullSession:
        """The session to go on with when the real one can't be opened."""
        return self.null_session_class()

    def is_null_session(self, obj: object) -> bool:
        """Whether the object is such a session; it is never saved."""
        # PERF: isinstance asks the class's metaclass, ABCMeta, in Python.
        if type(obj) is SecureCookieSession and self.null_session_class is NullSession:
            return False
        return isinstance(obj, self.null_session_class)

    def get_cookie_name(self, app: Flask) -> str:
        """The cookie's name: ``SESSION_COOKIE_NAME``."""
        return app.config["SESSION_COOKIE_NAME"]  # type: ignore[no-any-return]

    def get_cookie_domain(self, app: Flask) -> str | None:
        """The cookie's ``Domain``: ``SESSION_COOKIE_DOMAIN``. ``None``: this host only."""
        return app.config["SESSION_COOKIE_DOMAIN"]  # type: ignore[no-any-return]

    def get_cookie_path(self, app: Flask) -> str:
        """The cookie's ``Path``: ``SESSION_COOKIE_PATH``, or else ``APPLICATION_ROOT``."""
        return app.config["SESSION_COOKIE_PATH"] or app.config["APPLICATION_ROOT"]  # type: ignore[no-any-return]

    def get_cookie_httponly(self, app: Flask) -> bool:
        """Whether scripts can't read the cookie: ``SESSION_COOKIE_HTTPONLY``."""
        return app.config["SESSION_COOKIE_HTTPONLY"]  # type: ignore[no-any-return]

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether the cookie goes over HTTPS only: ``SESSION_COOKIE_SECURE``."""
        return app.config["SESSION_COOKIE_SECURE"]  # type: ignore[no-any-return]

    def get_cookie_samesite(self, app: Flask) -> str | None:
        """The cookie's ``SameSite``: ``SESSION_COOKIE_SAMESITE``."""
        return app.config["SESSION_COOKIE_SAMESITE"]  # type: ignore[no-any-return]

    def get_cookie_partitioned(self, app: Flask) -> bool:
        """Whether the cookie is kept apart for each embedding site:
        ``SESSION_COOKIE_PARTITIONED``."""
        return app.config["SESSION_COOKIE_PARTITIONED"]  # type: ignore[no-any-return]

    def get_expiration_time(self, app: Flask, session: SessionMixin) -> datetime | None:
        """When the cookie ends; ``None`` for one that ends with the browser."""
        if session.permanent:
            return datetime.now(UTC) + app.permanent_session_lifetime
        return None

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        """Whether this response has to set the cookie: the session changed, or it is permanent
        and ``SESSION_REFRESH_EACH_REQUEST`` moves its end."""
        if type(session) is SecureCookieSession and "_permanent" not in session:
            return session.modified
        return session.modified or (
            session.permanent and app.config["SESSION_REFRESH_EACH_REQUEST"]
        )

    def open_session(self, app: Flask, request: Request) -> SessionMixin | None:
        """Give the session of a request. It is called before the URL is matched.

        :return: the session, or ``None`` for the null session.
        """
        raise NotImplementedError

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Save the session, at the end of a request that has a real one."""
        raise NotImplementedError


session_json_serializer = TaggedJSONSerializer()


def _lazy_sha1(string: bytes = b"") -> t.Any:
    """:func:`hashlib.sha1`, looked up when called: a FIPS build of Python may lack it."""
    return hashlib.sha1(string)


# COMPAT: whoever replaces one of these expects it to work in each request, touched session or not.
_watched = frozenset(
    {"get_cookie_name", "is_null_session", "open_session", "save_session", "session_class"}
)


class SecureCookieSessionInterface(SessionInterface):
    """Keeps the whole session in a signed cookie."""

    #: Put to the secret key, so that what else it signs can't pass for a session.
    salt = "cookie-session"

    #: The hash of the signature.
    digest_method: t.Callable[..., t.Any] = staticmethod(_lazy_sha1)

    #: How ItsDangerous makes the signing key from the secret key and the salt.
    key_derivation = "hmac"

    #: Writes and reads the data: ``dumps`` and ``loads``.
    serializer = session_json_serializer

    session_class = SecureCookieSession

    _lazy = True

    def __init_subclass__(cls, **kwargs: t.Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__mro__[: cls.__mro__.index(SecureCookieSessionInterface)]
        if not _watched.isdisjoint(name for base in own for name in vars(base)):
            cls._lazy = False

    def __setattr__(self, name: str, value: t.Any) -> None:
        super().__setattr__(name, value)
        if name in _watched:
            super().__setattr__("_lazy", False)

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """What signs and checks: with ``SECRET_KEY``, and checks with ``SECRET_KEY_FALLBACKS``
        too. ``None`` when there is no secret key.
        """
        secret_key = app.secret_key
        if not secret_key:
            return None

        # ItsDangerous signs with the last key and checks with all.
        keys: tuple[t.Any, ...] = (*(app.config["SECRET_KEY_FALLBACKS"] or ()), secret_key)
        settings = (keys, self.salt, self.serializer, self.key_derivation, self.digest_method)

        try:
            return signing.signing_serializer(*settings)
        except TypeError:  # something that can't be hashed, so can't be remembered by
            return signing.signing_serializer.__wrapped__(*settings)

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The session in the request's cookie. It is empty when there is none, or one that is too
        old or not ours. ``None`` when there is no secret key."""
        serializer = self.get_signing_serializer(app)
        if serializer is None:
            return None

        name = self.get_cookie_name(app)
        header = request.environ.get("HTTP_COOKIE", "")
        read = request.__dict__
        # PERF: 5 us, 8 Python calls less than to parse all cookies and put them into a dict.
        if (
            type(request) is Request
            and "cookies" not in read
            and "headers" not in read
            and '"' not in header
        ):
            value = find_cookie(header, name)
        else:
            value = request.cookies.get(name)
        if not value:
            return self.session_class()

        max_age = int(app.permanent_session_lifetime.total_seconds())
        try:
            data = serializer.loads(value, max_age=max_age)
        # Not BadSignature alone: what the key signed before the application had other tags may not
        # be readable any more, and should not shut its client out.
        except itsdangerous.BadData:
            return self.session_class()

        try:
            return self.session_class(data)
        except (TypeError, ValueError):
            if isinstance(data, c.Mapping):
                raise
            return self.session_class()

    # PERF: known to wait for nothing, so that it needs no thread beside an async view.
    @stock
    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set the cookie where need be, or delete it when the session became empty. A response
        that depends on the session says ``Vary: Cookie``."""
        if session.accessed:
            _vary_by_cookie(response)

        if session:
            if not self.should_set_cookie(app, session):
                return
            self._set_cookie(app, session, response)
        elif session.modified:
            self._delete_cookie(app, response)
        else:
            return

        if not session.accessed:
            _vary_by_cookie(response)

    def _cookie_attributes(self, app: Flask) -> dict[str, t.Any]:
        return {
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "partitioned": self.get_cookie_partitioned(app),
            "samesite": self.get_cookie_samesite(app),
            "httponly": self.get_cookie_httponly(app),
        }

    def _delete_cookie(self, app: Flask, response: Response) -> None:
        response.delete_cookie(self.get_cookie_name(app), **self._cookie_attributes(app))

    def _set_cookie(self, app: Flask, session: SessionMixin, response: Response) -> None:
        serializer = self.get_signing_serializer(app)
        assert serializer is not None  # a session that was opened has a key

        expires = self.get_expiration_time(app, session)
        response.set_cookie(
            self.get_cookie_name(app),
            serializer.dumps(dict(session)),
            expires=expires,
            **self._cookie_attributes(app),
        )


def _vary_by_cookie(response: t.Any) -> None:
    if isinstance(response, Response) and type(response).vary is Response.vary:
        response._vary_by("Cookie")
    else:
        response.vary.add("Cookie")


__getattr__ = passed_on(__name__)
