"""Sessions, and cookies that Flask and Torsyq can't tell apart."""

from __future__ import annotations

import collections.abc as cabc
import copy
import hashlib
import pickle
import time
import typing as t
from datetime import datetime
from datetime import timedelta
from datetime import UTC

import flask
import flask.sessions
import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer
from markupsafe import Markup
from werkzeug.datastructures import CallbackDict
from werkzeug.datastructures import HeaderSet
from werkzeug.sansio.http import parse_cookie
from werkzeug.wrappers import Response as BaseResponse

import torsyq
from torsyq import request
from torsyq import session
from torsyq.cookies import find_cookie
from torsyq.globals import request_ctx
from torsyq.json.tag import TaggedJSONSerializer
from torsyq.sessions import _lazy_sha1
from torsyq.sessions import NullSession
from torsyq.sessions import SecureCookieSession
from torsyq.sessions import SecureCookieSessionInterface
from torsyq.sessions import session_json_serializer
from torsyq.sessions import SessionInterface
from torsyq.sessions import SessionMixin
from torsyq.testing import FlaskClient
from torsyq.wrappers import Response

NOW = 1_700_000_000
A_MONTH = 31 * 24 * 3600

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.uuids()
    | st.text().map(Markup)
    | st.datetimes(min_value=datetime(1970, 1, 1)).map(
        lambda d: d.replace(microsecond=0, tzinfo=UTC)
    ),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.sampled_from([" t", " di", " b__", " "]), inner)
    ),
    max_leaves=12,
)
contents = st.dictionaries(st.text(), values, max_size=5)

View = t.Callable[[t.Any], t.Any]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> t.Callable[[float], None]:
    """Set the clock that signatures are made and checked by."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    return lambda moment: monkeypatch.setattr(time, "time", lambda: moment)


def answer(
    framework: t.Any, view: View, cookie: str | None = None, **config: t.Any
) -> tuple[int, list[tuple[str, str]], str]:
    """What an app of Flask's or ours with one view answers; the view gets the session."""
    app = framework.Flask("app")
    app.config.update({"SECRET_KEY": "key"} | config)

    def index() -> t.Any:
        return view(framework.session) or ""

    app.add_url_rule("/", view_func=index)
    client = app.test_client(use_cookies=False)
    response = client.get("/", headers={} if cookie is None else {"Cookie": cookie})
    return response.status_code, list(response.headers), response.text


def same(view: View, cookie: str | None = None, **config: t.Any) -> list[tuple[str, str]]:
    """The headers both answer with, which have to be the same."""
    ours = answer(torsyq, view, cookie, **config)
    theirs = answer(flask, view, cookie, **config)
    assert [ours[0], ours[2]] == [theirs[0], theirs[2]]
    # Two readings of the clock may lie on either side of a second.
    assert _without_expiry(ours[1]) == _without_expiry(theirs[1])
    return [header for header in ours[1] if header[0] in {"Vary", "Set-Cookie"}]


def _without_expiry(headers: list[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    return [
        (name, [part for part in value.split("; ") if not part.startswith("Expires=")])
        for name, value in headers
    ]


def cookie_for(data: object, key: str = "key") -> str:
    """The Cookie header that Flask would have a client send."""
    app = flask.Flask("app")
    app.secret_key = key
    with app.app_context():
        signing = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
        return f"session={signing.dumps(data)}"


def write(session: t.Any) -> None:
    session["a"] = 1


def write_permanent(session: t.Any) -> None:
    session["a"] = 1
    session.permanent = True


def clear(session: t.Any) -> None:
    session.clear()


def nothing(session: t.Any) -> None:
    pass


def dump(session: t.Any) -> str:
    return repr(dict(session))


ALL_ATTRIBUTES = {
    "SESSION_COOKIE_NAME": "s-x",
    "SESSION_COOKIE_DOMAIN": "example.org",
    "SESSION_COOKIE_PATH": "/q",
    "SESSION_COOKIE_HTTPONLY": False,
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "SESSION_COOKIE_PARTITIONED": True,
}


@pytest.mark.usefixtures("now")
class TestSameAnswerAsFlask:
    @pytest.mark.usefixtures("protocol")
    @pytest.mark.parametrize("cookie", [None, "session=rubbish", "session=", "a=b; session=x.y.z"])
    @pytest.mark.parametrize(
        "config",
        [
            {},
            ALL_ATTRIBUTES,
            {"APPLICATION_ROOT": "/root"},
            {"SESSION_REFRESH_EACH_REQUEST": False},
        ],
    )
    @pytest.mark.parametrize("view", [nothing, write, write_permanent, clear, dump])
    def test_without_a_session(
        self, view: View, config: dict[str, t.Any], cookie: str | None
    ) -> None:
        headers = same(view, cookie, **config)
        assert ("Vary", "Cookie") in headers or view is nothing

    @pytest.mark.usefixtures("protocol")
    @pytest.mark.parametrize("permanent", [True, False])
    @pytest.mark.parametrize("config", [{}, {"SESSION_REFRESH_EACH_REQUEST": False}])
    @pytest.mark.parametrize("view", [nothing, write, write_permanent, clear, dump])
    def test_with_a_session(self, view: View, config: dict[str, t.Any], permanent: bool) -> None:
        data: dict[str, t.Any] = {"b": 2}
        if permanent:
            data["_permanent"] = True
        same(view, cookie_for(data), **config)

    @pytest.mark.usefixtures("protocol")
    def test_only_a_permanent_session_is_refreshed_untouched(self) -> None:
        assert same(nothing, cookie_for({"b": 2})) == []
        headers = same(nothing, cookie_for({"b": 2, "_permanent": True}))
        assert [name for name, _ in headers] == ["Set-Cookie", "Vary"]

    @pytest.mark.usefixtures("protocol")
    def test_clearing_deletes_the_cookie_with_the_attributes_it_was_set_with(self) -> None:
        cookie = cookie_for({"b": 2}).replace("session=", "s-x=")
        headers = dict(same(clear, cookie, **ALL_ATTRIBUTES))
        for part in ("s-x=;", "Max-Age=0", "Domain=example.org", "Path=/q", "Partitioned"):
            assert part in headers["Set-Cookie"]

    @pytest.mark.usefixtures("protocol")
    @pytest.mark.parametrize(
        "view",
        [
            lambda s: "a" in s and "" or "",
            lambda s: str(len(s)),
            lambda s: str(bool(s)),
            lambda s: repr(s),
            lambda s: str(list(s)),
            lambda s: str(s.new),
            lambda s: str(s.permanent),
            lambda s: str(s.accessed),
            lambda s: str(s == {}),
            lambda s: s._get_current_object() and "",
        ],
    )
    def test_a_look_at_it_makes_the_answer_vary(self, view: View) -> None:
        assert same(view) == [("Vary", "Cookie")]

    @pytest.mark.usefixtures("protocol")
    @pytest.mark.parametrize("vary", ["Cookie", "cookie", "Accept", "*", "Accept, cookie"])
    def test_vary_is_added_to(self, vary: str) -> None:
        def view(session: t.Any) -> t.Any:
            session["a"] = 1
            return "", {"Vary": vary}

        same(view)

    @pytest.mark.parametrize("framework", [flask, torsyq])
    def test_headers_that_are_a_plain_dictionary_vary_too(self, framework: t.Any) -> None:
        def view(session: t.Any) -> t.Any:
            response = framework.make_response(str(session.get("a")))
            response.headers = {"Content-Type": "text/plain"}
            return response

        status, headers, _ = answer(framework, view)
        assert (status, dict(headers)["Vary"]) == (200, "Cookie")

    @pytest.mark.parametrize("framework", [flask, torsyq])
    def test_a_response_class_may_vary_in_a_way_of_its_own(self, framework: t.Any) -> None:
        class NeverVaries(framework.Response):  # type: ignore[misc]
            vary = HeaderSet()

        app = framework.Flask("t")
        app.secret_key = "k"
        app.response_class = NeverVaries
        app.add_url_rule("/", "page", lambda: str(framework.session.get("a")))
        assert "Vary" not in app.test_client().get("/").headers

    @pytest.mark.parametrize("framework", [flask, torsyq])
    def test_its_end_is_asked_for_before_it_is_written(self, framework: t.Any) -> None:
        asked = []

        class Sessions(framework.sessions.SecureCookieSessionInterface):  # type: ignore[misc]
            def get_expiration_time(self, app: t.Any, session: t.Any) -> None:
                asked.append(session["a"])

        app = framework.Flask("app")
        app.secret_key = "key"
        app.session_interface = Sessions()
        with app.test_request_context():
            framework.session["a"] = unwritable = object()
            with pytest.raises(TypeError, match="not JSON serializable"):
                app.process_response(app.response_class())
        assert asked == [unwritable]

    @pytest.mark.usefixtures("protocol")
    @pytest.mark.parametrize("second", [0, A_MONTH, A_MONTH + 1, -1])
    def test_age(self, second: int, now: t.Callable[[float], None]) -> None:
        cookie = cookie_for({"b": 2})
        now(NOW + second)
        same(dump, cookie)

    @pytest.mark.usefixtures("protocol")
    @pytest.mark.parametrize("lifetime", [0, 10, timedelta(seconds=10), timedelta(days=1000)])
    def test_lifetime(self, lifetime: object, now: t.Callable[[float], None]) -> None:
        cookie = cookie_for({"b": 2})
        now(NOW + 10)
        same(dump, cookie, PERMANENT_SESSION_LIFETIME=lifetime)

    @pytest.mark.usefixtures("protocol")
    @pytest.mark.parametrize(
        "fallbacks", [None, [], ["old"], ("older", "old"), ["x", b"old"], "old"]
    )
    @pytest.mark.parametrize("key", ["new", b"new"])
    def test_keys_that_were_replaced_still_read(self, fallbacks: t.Any, key: t.Any) -> None:
        for signed_with in ("new", "old", "other"):
            same(
                dump,
                cookie_for({"b": 2}, key=signed_with),
                SECRET_KEY=key,
                SECRET_KEY_FALLBACKS=fallbacks,
            )

    @pytest.mark.usefixtures("protocol")
    def test_of_several_cookies_the_first_counts(self) -> None:
        good = cookie_for({"b": 2})
        same(dump, f"{good}; session=x")
        same(dump, f"session=x; {good}")
        same(dump, f"session=; {good}")

    @pytest.mark.usefixtures("protocol")
    def test_what_json_does_not_have_is_an_error_of_the_app(self) -> None:
        def view(session: t.Any) -> None:
            session["a"] = {1, 2}

        assert answer(torsyq, view)[0] == answer(flask, view)[0] == 500

    @pytest.mark.usefixtures("protocol")
    def test_an_unknown_samesite_is_an_error_of_the_app(self) -> None:
        config: dict[str, t.Any] = {"SESSION_COOKIE_SAMESITE": "Maybe", "TESTING": True}
        for framework in (torsyq, flask):
            with pytest.raises(ValueError, match="SameSite"):
                answer(framework, write, **config)

    @settings(max_examples=40, deadline=None)
    @given(contents)
    @example({"a": 1, "_permanent": True})
    @example({"n": 0, "text": "é" * 400})
    @example({" t": (1, b"x")})
    def test_cookies_are_the_same_bytes(self, data: dict[str, t.Any]) -> None:
        headers = same(lambda session: session.update(data))
        if data:
            cookie = dict(headers)["Set-Cookie"].partition(";")[0]
            assert same(lambda session: repr(dict(session) == data), cookie)

    @settings(max_examples=40, deadline=None)
    @given(st.binary(max_size=40) | st.text('abcAZ09.-_=" ;', max_size=30).map(str.encode))
    def test_rubbish_is_no_session(self, rubbish: bytes) -> None:
        cookie = "session=" + rubbish.decode("latin-1")
        if "\r" not in cookie and "\n" not in cookie and "\0" not in cookie:
            assert answer(torsyq, dump, cookie) == answer(flask, dump, cookie)


class TestBetterThanFlask:
    """Where Flask answers such a cookie with 500."""

    @pytest.mark.usefixtures("protocol")
    @pytest.mark.parametrize("data", [5, [1], "text", [["a", 1], 2], True])
    def test_signed_data_that_is_no_dict_is_an_empty_session(self, data: object) -> None:
        status, _, text = answer(torsyq, dump, cookie_for(data), TESTING=True)
        assert (status, text) == (200, "{}")

    @pytest.mark.usefixtures("protocol")
    @pytest.mark.parametrize("payload", ["[" * 100_000, "{", '{" u":"x"}', '{" t":5}', '{" b":1}'])
    def test_signed_text_that_can_not_be_read_is_an_empty_session(self, payload: str) -> None:
        class Plain:
            dumps = staticmethod(str)
            loads = staticmethod(str)

        app = torsyq.Flask("app")
        app.secret_key = "key"
        signing = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
        text = URLSafeTimedSerializer(
            signing.secret_keys,
            salt=signing.salt,
            serializer=Plain,
            signer_kwargs=signing.signer_kwargs,
        ).dumps(payload)
        status, _, body = answer(torsyq, dump, f"session={text}", TESTING=True)
        assert (status, body) == (200, "{}")

    @pytest.mark.usefixtures("protocol")
    def test_pairs_make_a_session_as_in_flask(self) -> None:
        assert answer(torsyq, dump, cookie_for([["a", 1]]))[2] == "{'a': 1}"


class TestSecureCookieSession:
    def test_begins_untouched(self) -> None:
        session = SecureCookieSession({"a": 1})
        assert (session.modified, session.accessed, session.new) == (False, False, False)
        assert repr(session) == "<SecureCookieSession {'a': 1}>"
        assert SecureCookieSession() == SecureCookieSession(None) == {}

    @pytest.mark.parametrize(
        "change",
        [
            lambda s: s.__setitem__("b", 1),
            lambda s: s.__delitem__("a"),
            lambda s: s.clear(),
            lambda s: s.pop("a"),
            lambda s: s.popitem(),
            lambda s: s.update(b=1),
            lambda s: s.update({"b": 1}),
            lambda s: s.setdefault("b", 1),
            lambda s: s.__ior__({"b": 1}),
            lambda s: setattr(s, "permanent", False),
        ],
    )
    def test_a_change_is_noticed(self, change: t.Callable[[t.Any], t.Any]) -> None:
        sessions = SecureCookieSession({"a": 1}), flask.sessions.SecureCookieSession({"a": 1})
        for one in sessions:
            change(one)
            assert one.modified is True
            assert one.accessed is False
        assert dict(sessions[0]) == dict(sessions[1])

    @pytest.mark.parametrize(
        "look",
        [
            lambda s: s["a"],
            lambda s: s.get("a"),
            lambda s: "a" in s,
            lambda s: s.setdefault("a", 2),
            lambda s: s.pop("no", None),
            lambda s: list(s.items()),
        ],
    )
    def test_a_look_changes_nothing(self, look: t.Callable[[t.Any], t.Any]) -> None:
        session = SecureCookieSession({"a": 1})
        look(session)
        assert (session.modified, session.accessed) == (False, False)

    def test_permanent_is_kept_in_the_session(self) -> None:
        session = SecureCookieSession()
        assert session.permanent is False
        session.permanent = "yes"  # type: ignore[assignment]
        assert session == {"_permanent": True}
        session["_permanent"] = 0
        assert session.permanent == 0

    def test_a_subclass_may_have_a_callback_of_its_own(self) -> None:
        seen: list[object] = []

        class Mine(SecureCookieSession):
            def __init__(self, initial: t.Any = None) -> None:
                super().__init__(initial)
                self.on_update = seen.append  # type: ignore[method-assign,assignment]

        session = Mine({"a": 1})
        session["b"] = 2
        assert seen == [session]

    def test_kinds(self) -> None:
        for kind in (CallbackDict, dict, SessionMixin, cabc.MutableMapping):
            assert issubclass(SecureCookieSession, kind)
            assert issubclass(NullSession, kind)

    def test_copies_and_pickles_are_sessions(self) -> None:
        session = SecureCookieSession({"a": [1]})
        for other in (
            copy.copy(session),
            copy.deepcopy(session),
            pickle.loads(pickle.dumps(session)),
        ):
            assert type(other) is SecureCookieSession
            assert other == session
            other["b"] = 1
        assert not session.modified


def test_a_response_of_another_class_gets_the_cookie_too(app: torsyq.Flask) -> None:
    app.secret_key = "key"
    response: t.Any = BaseResponse()
    session = SecureCookieSession()
    session["a"] = 1
    app.session_interface.save_session(app, session, response)
    assert response.headers["Set-Cookie"].startswith("session=")
    assert response.headers["Vary"] == "Cookie"


class TestNullSession:
    @pytest.mark.parametrize(
        "change",
        ["__setitem__", "__delitem__", "clear", "pop", "popitem", "update", "setdefault"],
    )
    def test_a_write_says_that_there_is_no_key(self, change: str) -> None:
        messages = set()
        for cls in (NullSession, flask.sessions.NullSession):
            with pytest.raises(RuntimeError) as caught:
                getattr(cls(), change)("a", 1)
            messages.add(str(caught.value))
        assert len(messages) == 1
        assert not hasattr(NullSession, "_fail")

    def test_reading_finds_nothing(self) -> None:
        app = torsyq.Flask("app")
        with app.test_request_context():
            assert session.get("a") is None
            assert "a" not in session
            assert type(session._get_current_object()) is NullSession  # type: ignore[attr-defined]

    @pytest.mark.usefixtures("protocol")
    def test_it_is_never_saved(self) -> None:
        assert answer(torsyq, dump, SECRET_KEY=None)[1] == answer(flask, dump, SECRET_KEY=None)[1]
        assert answer(torsyq, dump, SECRET_KEY="")[2] == "{}"


class TestInterface:
    def test_the_base_only_says_what_is_missing(self, app: torsyq.Flask) -> None:
        interface = SessionInterface()
        with app.test_request_context():
            with pytest.raises(NotImplementedError):
                interface.open_session(app, request)
            with pytest.raises(NotImplementedError):
                interface.save_session(app, NullSession(), Response())
        assert not interface.pickle_based
        assert interface.is_null_session(interface.make_null_session(app))
        assert not interface.is_null_session(SecureCookieSession())

    def test_no_key_no_serializer(self) -> None:
        interface = SecureCookieSessionInterface()
        assert interface.get_signing_serializer(torsyq.Flask("app")) is None

    def test_the_serializer_is_itsdangerous(self, app: torsyq.Flask) -> None:
        app.config["SECRET_KEY_FALLBACKS"] = ["a", b"b"]
        serializer = SecureCookieSessionInterface().get_signing_serializer(app)
        assert isinstance(serializer, URLSafeTimedSerializer)
        assert serializer.secret_keys == [b"a", b"b", b"test key"]
        assert serializer.salt == b"cookie-session"
        assert serializer.serializer is session_json_serializer
        assert serializer.signer_kwargs == {"key_derivation": "hmac", "digest_method": _lazy_sha1}
        assert _lazy_sha1(b"a").hexdigest() == "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"

    def test_a_new_key_counts_at_once(self, app: torsyq.Flask) -> None:
        interface = SecureCookieSessionInterface()
        texts = set()
        for key in ("one", "two"):
            app.secret_key = key
            serializer = interface.get_signing_serializer(app)
            assert serializer is not None
            texts.add(serializer.make_signer().sign("x").rpartition(b".")[2])
        assert len(texts) == 2

    def test_settings_that_have_no_hash_still_work(self, app: torsyq.Flask) -> None:
        class Unhashable(TaggedJSONSerializer):
            __slots__ = ()
            __hash__ = None  # type: ignore[assignment]

        class Interface(SecureCookieSessionInterface):
            serializer = Unhashable()

        serializer = Interface().get_signing_serializer(app)
        assert serializer is not None
        assert serializer.loads(serializer.dumps({"a": (1,)}), max_age=5) == {"a": (1,)}

    def test_its_parts_can_be_replaced(self, app: torsyq.Flask, anyclient: FlaskClient) -> None:
        class MySession(SecureCookieSession):
            pass

        class Interface(SecureCookieSessionInterface):
            salt = "other"
            key_derivation = "concat"
            digest_method = staticmethod(hashlib.sha256)
            session_class = MySession

        app.session_interface = Interface()

        @app.get("/")
        def index() -> str:
            session["n"] = session.get("n", 0) + 1
            return f"{type(session._get_current_object()).__name__} {session['n']}"  # type: ignore[attr-defined]

        assert anyclient.get("/").text == "MySession 1"
        assert anyclient.get("/").text == "MySession 2"

    def test_expiration(self, app: torsyq.Flask) -> None:
        interface = SecureCookieSessionInterface()
        assert interface.get_expiration_time(app, SecureCookieSession()) is None
        end = interface.get_expiration_time(app, SecureCookieSession({"_permanent": True}))
        assert end is not None
        assert timedelta(0) <= datetime.now(UTC) + timedelta(days=31) - end < timedelta(minutes=1)

    def test_a_mapping_the_session_class_refuses_is_the_app_s_error(
        self, app: torsyq.Flask
    ) -> None:
        class Strict(SecureCookieSession):
            def __init__(self, initial: t.Any = None) -> None:
                if initial:
                    raise ValueError("only empty sessions")
                super().__init__()

        class Interface(SecureCookieSessionInterface):
            session_class = Strict

        with (
            app.test_request_context(headers={"Cookie": cookie_for({"a": 1}, "test key")}),
            pytest.raises(ValueError, match="only empty"),
        ):
            Interface().open_session(app, request)


class TestOpenedWhenTouched:
    @pytest.mark.usefixtures("protocol")
    def test_an_untouched_session_is_not_read(
        self, app: torsyq.Flask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(SecureCookieSession, "__init__", None)
        app.add_url_rule("/", view_func=lambda: "")
        client = app.test_client()
        client.set_cookie("a", "b")
        assert client.get("/").status_code == 200

    @pytest.mark.usefixtures("protocol")
    def test_an_app_without_sessions_may_have_no_name_for_their_cookie(
        self, app: torsyq.Flask
    ) -> None:
        app.config["SESSION_COOKIE_NAME"] = None
        app.add_url_rule("/", view_func=lambda: "")
        client = app.test_client()
        client.set_cookie("a", "b")
        assert client.get("/").status_code == 200

    @pytest.mark.usefixtures("protocol")
    @pytest.mark.parametrize(
        "name", ["open_session", "save_session", "is_null_session", "get_cookie_name"]
    )
    @pytest.mark.parametrize("how", ["subclass", "instance"])
    def test_a_replaced_method_is_called_in_each_request(
        self, app: torsyq.Flask, name: str, how: str
    ) -> None:
        calls: list[str] = []
        original = getattr(SecureCookieSessionInterface, name)

        def spy(self: t.Any, *args: t.Any) -> t.Any:
            calls.append(name)
            return original(self, *args)

        if how == "subclass":
            app.session_interface = type("Mine", (SecureCookieSessionInterface,), {name: spy})()
        else:
            interface = app.session_interface = SecureCookieSessionInterface()
            setattr(interface, name, spy.__get__(interface))

        app.add_url_rule("/", view_func=lambda: "")
        app.test_client().get("/")
        assert calls == [name]

    @pytest.mark.usefixtures("protocol")
    def test_a_session_class_of_the_app_s_own_is_made_in_each_request(
        self, app: torsyq.Flask
    ) -> None:
        class Counting(SecureCookieSession):
            def __init__(self, initial: t.Any = None) -> None:
                super().__init__(initial)
                self["seen"] = True

        class Interface(SecureCookieSessionInterface):
            session_class = Counting

        app.session_interface = Interface()
        app.add_url_rule("/", view_func=lambda: "")
        assert "session=" in app.test_client().get("/").headers["Set-Cookie"]

    @pytest.mark.usefixtures("protocol")
    def test_an_interface_may_be_anything_that_opens_and_saves(self, app: torsyq.Flask) -> None:
        calls: list[str] = []

        class Duck:
            def open_session(self, app: t.Any, request: t.Any) -> SecureCookieSession:
                calls.append("open")
                return SecureCookieSession()

            def is_null_session(self, obj: object) -> bool:
                return False

            def save_session(self, app: t.Any, session: t.Any, response: t.Any) -> None:
                calls.append("save")

        app.session_interface = Duck()  # type: ignore[assignment]
        app.add_url_rule("/", view_func=lambda: "")
        app.test_client().get("/")
        assert calls == ["open", "save"]

    def test_a_session_interface_that_opens_none_gets_the_null_session(
        self, app: torsyq.Flask
    ) -> None:
        class Closed(SessionInterface):
            def open_session(self, app: t.Any, request: t.Any) -> None:
                return None

        app.session_interface = Closed()
        with app.test_request_context():
            assert type(request_ctx.session) is NullSession

    @pytest.mark.parametrize("cookie", [{}, {"Cookie": "session=1"}])
    def test_what_failed_to_open_is_not_opened_again_and_saved_as_none(
        self, app: torsyq.Flask, anyclient: FlaskClient, cookie: dict[str, str]
    ) -> None:
        calls: list[object] = []

        class Down(SessionInterface):
            def open_session(self, app: t.Any, request: t.Any) -> t.Any:
                calls.append("open")
                raise ConnectionError

            def save_session(self, app: t.Any, session: t.Any, response: t.Any) -> None:
                calls.append(session)

        @app.errorhandler(500)
        def handle(error: Exception) -> str:
            with pytest.raises(AssertionError, match="has not yet been opened"):
                session.get("user")
            return "handled"

        app.config["PROPAGATE_EXCEPTIONS"] = False
        app.session_interface = Down()
        assert anyclient.get("/", headers=cookie).text == "handled"
        assert calls == ["open", None]

    def test_it_can_not_be_read_while_it_is_opened(
        self, app: torsyq.Flask, anyclient: FlaskClient
    ) -> None:
        class Logging(SecureCookieSessionInterface):
            def open_session(self, app: torsyq.Flask, request: t.Any) -> t.Any:
                # As a filter of the log does, that adds the user's name to each line.
                with pytest.raises(AssertionError, match="has not yet been opened"):
                    session.get("user")
                return super().open_session(app, request)

        app.session_interface = Logging()
        app.add_url_rule("/", view_func=lambda: str(session.get("user")))
        assert anyclient.get("/").text == "None"


pieces = st.sampled_from(
    ["session", "=", ";", " ", "\t", "a", "session=x", "; ", "é", "sess ion", ",", "."]
)


@given(st.lists(pieces, max_size=8).map("".join), st.sampled_from(["session", "a", "sess ion", ""]))
def test_the_cookie_found_is_the_one_werkzeug_finds(header: str, name: str) -> None:
    assert find_cookie(header, name) == parse_cookie(header).get(name)


@pytest.mark.parametrize("touch", ["cookies", "headers", None])
@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("own_class", [True, False])
def test_the_session_is_found_however_the_request_was_read(
    app: torsyq.Flask, touch: str | None, quoted: bool, own_class: bool
) -> None:
    if own_class:
        app.request_class = type("MyRequest", (torsyq.Request,), {})
    cookie = cookie_for({"a": 1}, "test key") + ('; b="c d"' if quoted else "")
    with app.test_request_context(headers={"Cookie": cookie}):
        if touch is not None:
            getattr(request, touch)
        assert session["a"] == 1


def test_other_settings_of_an_interface_leave_it_opening_late() -> None:
    interface = SecureCookieSessionInterface()
    interface.salt = "other"
    assert interface._lazy
    assert not SessionInterface._lazy


@pytest.mark.parametrize("framework", [flask, torsyq])
def test_a_step_that_a_mixin_replaces_is_taken_in_each_request(framework: t.Any) -> None:
    opened = []

    class Watching:
        def open_session(self, app: t.Any, request: t.Any) -> t.Any:
            opened.append(request.path)
            return super().open_session(app, request)  # type: ignore[misc]

    class Sessions(Watching, framework.sessions.SecureCookieSessionInterface):  # type: ignore[misc]
        pass

    app = framework.Flask("app")
    app.session_interface = Sessions()
    app.add_url_rule("/", "index", lambda: "untouched")
    app.test_client().get("/")
    assert opened == ["/"]
