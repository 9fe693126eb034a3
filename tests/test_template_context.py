"""What a template sees without being given it."""

from __future__ import annotations

from torsyq import Flask
from torsyq import g
from torsyq import request
from torsyq import session
from torsyq._template_context import _default_template_ctx_processor


def test_outside_of_contexts_there_is_nothing() -> None:
    assert _default_template_ctx_processor() == {}


def test_in_an_app_context_there_is_g(app: Flask) -> None:
    with app.app_context():
        g.river = "Esil"
        names = _default_template_ctx_processor()
        assert list(names) == ["g"]
        assert names["g"].river == "Esil"


def test_in_a_request_there_are_request_and_session_themselves(app: Flask) -> None:
    """Not the proxies, which cost more to read and a generator outlives."""
    with app.test_request_context("/page"):
        names = _default_template_ctx_processor()
        assert list(names) == ["g", "request", "session"]
        assert names["request"] is request._get_current_object()  # type: ignore[attr-defined]
        assert names["session"] is session._get_current_object()  # type: ignore[attr-defined]


def test_it_is_the_one_templating_names() -> None:
    from torsyq import templating

    assert templating._default_template_ctx_processor is _default_template_ctx_processor
