"""The proxies are Werkzeug's to everyone who asks, and behave like what they stand for."""

from __future__ import annotations

import gc
import typing as t
import weakref

import flask.globals
import pytest
from werkzeug.local import LocalProxy

import torsyq
from torsyq import Flask
from torsyq import globals as names

PROXIES = ["current_app", "g", "request", "session", "app_ctx", "request_ctx"]
of_app = pytest.mark.parametrize("name", ["current_app", "g", "app_ctx"])
of_request = pytest.mark.parametrize("name", ["request", "session", "request_ctx"])


@pytest.mark.parametrize("name", PROXIES)
def test_each_is_a_local_proxy(name: str) -> None:
    assert isinstance(getattr(names, name), LocalProxy)


@pytest.mark.parametrize("name", PROXIES)
def test_its_type_shows_itself_as_werkzeugs(name: str) -> None:
    proxy = getattr(names, name)
    assert repr(type(proxy)) == "<class 'werkzeug.local.LocalProxy'>"
    assert type(proxy).__doc__ == LocalProxy.__doc__
    assert proxy.__module__ == "werkzeug.local"


@pytest.mark.parametrize("name", PROXIES)
def test_its_docstring_is_that_of_what_it_stands_for(app: Flask, name: str) -> None:
    proxy = getattr(names, name)
    assert proxy.__doc__ == LocalProxy.__doc__
    with app.test_request_context():
        assert proxy.__doc__ == proxy._get_current_object().__doc__


@pytest.mark.parametrize("name", PROXIES)
def test_unbound_they_say_what_flask_says(name: str) -> None:
    ours, theirs = getattr(names, name), getattr(flask.globals, name)
    assert repr(ours) == repr(theirs) == "<LocalProxy unbound>"
    assert not ours
    for use in (
        lambda proxy: proxy.anything,
        lambda proxy: proxy["anything"],
        lambda proxy: setattr(proxy, "anything", 1),
        lambda proxy: proxy.__setitem__("anything", 1),
        lambda proxy: "anything" in proxy,
        lambda proxy: proxy._get_current_object(),
    ):
        with pytest.raises(RuntimeError) as our_error:
            use(ours)
        with pytest.raises(RuntimeError) as their_error:
            use(theirs)
        assert str(our_error.value) == str(their_error.value)


def test_bound_they_are_the_object(app: Flask) -> None:
    with app.test_request_context("/here") as ctx:
        assert torsyq.current_app == app
        assert torsyq.current_app._get_current_object() is app  # type: ignore[attr-defined]
        assert isinstance(torsyq.request, torsyq.Request)
        assert torsyq.request.path == "/here"
        assert names.request_ctx._get_current_object() is ctx  # type: ignore[attr-defined]
        assert repr(torsyq.request) == repr(ctx.request)
        assert torsyq.request.__class__ is torsyq.Request
        assert dir(torsyq.request) == dir(ctx.request)


def test_attributes_are_written_through(app: Flask) -> None:
    with app.test_request_context() as ctx:
        torsyq.g.x = 1
        assert names.app_ctx.g.x == 1
        assert "x" in torsyq.g
        del torsyq.g.x
        assert "x" not in torsyq.g
        torsyq.request.note = 2  # type: ignore[attr-defined]
        assert ctx.request.note == 2  # type: ignore[attr-defined]


def test_the_session_is_read_and_written_through(app: Flask) -> None:
    with app.test_request_context() as ctx:
        assert "n" not in torsyq.session
        torsyq.session["n"] = 1
        assert torsyq.session["n"] == ctx.session["n"] == 1
        assert torsyq.session.get("n") == 1
        torsyq.session.permanent = True
        assert ctx.session.permanent
        assert torsyq.session.modified


@pytest.mark.parametrize("proxy", ["request", "g", "current_app", "session"])
def test_a_missing_attribute_is_an_attribute_error_of_the_object(app: Flask, proxy: str) -> None:
    with app.test_request_context():
        value: t.Any = getattr(torsyq, proxy)
        with pytest.raises(AttributeError, match="nothing_of_the_kind"):
            value.nothing_of_the_kind  # noqa: B018
        assert not hasattr(value, "nothing_of_the_kind")
        assert not hasattr(value, "_nothing_of_the_kind")


@pytest.mark.parametrize("proxy", ["request", "g", "current_app", "session"])
def test_an_attribute_without_a_name_is_missing(app: Flask, proxy: str) -> None:
    with app.test_request_context():
        assert getattr(getattr(torsyq, proxy), "", "none") == "none"


def test_a_template_finds_nothing_under_no_name(app: Flask) -> None:
    with app.test_request_context():
        assert torsyq.render_template_string("({{ session[''] }}{{ g[''] }})") == "()"


def test_what_computes_an_attribute_and_fails_is_run_once(app: Flask) -> None:
    calls = []

    class Own(torsyq.Request):
        @property
        def user(self) -> str:
            calls.append("user")
            raise AttributeError("nobody is logged in")

        @property
        def _user(self) -> str:
            calls.append("_user")
            raise AttributeError("nobody")

    app.request_class = Own
    with app.test_request_context():
        with pytest.raises(AttributeError, match="^nobody is logged in$") as caught:
            torsyq.request.user  # type: ignore[attr-defined] # noqa: B018
        assert caught.traceback[-1].name == "user"
        assert calls == ["user"]
        assert getattr(torsyq.request, "_user", "none") == "none"
        assert getattr(torsyq.request, "other", "none") == "none"
        assert torsyq.request.__getattr__("path") == "/"  # type: ignore[attr-defined]
        assert calls == ["user", "_user"]


def test_what_a_missing_attribute_leaves_is_freed_without_the_cycle_collector(app: Flask) -> None:
    def miss() -> weakref.ref[t.Any]:
        class Own:
            pass

        held = Own()
        assert not hasattr(torsyq.g, "missing")
        return weakref.ref(held)

    with app.app_context():
        gc.disable()
        try:
            assert miss()() is None
        finally:
            gc.enable()


def test_private_attributes_are_reached(app: Flask) -> None:
    with app.test_request_context():
        torsyq.g._private = 1
        assert torsyq.g._private == 1
        torsyq.g.DB = 2
        assert torsyq.g.DB == 2
        assert torsyq.current_app._got_first_request is False


@of_app
def test_app_names_work_without_a_request(app: Flask, name: str) -> None:
    with app.app_context():
        assert getattr(names, name)._get_current_object() is not None


@of_request
def test_request_names_need_a_request(app: Flask, name: str) -> None:
    with app.app_context(), pytest.raises(RuntimeError, match="outside of request context"):
        getattr(names, name)._get_current_object()
