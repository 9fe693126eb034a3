"""What a template sees without being given it."""

from __future__ import annotations

import pytest

from torsyq import Flask
from torsyq import g
from torsyq import render_template_string
from torsyq import request
from torsyq._template_context import _default_template_ctx_processor


def test_outside_of_contexts_there_is_nothing() -> None:
    assert _default_template_ctx_processor() == {}


def test_in_an_app_context_there_is_g(app: Flask) -> None:
    with app.app_context():
        g.river = "Esil"
        names = _default_template_ctx_processor()
        assert list(names) == ["g"]
        assert names["g"].river == "Esil"


def test_in_a_request_there_is_the_request_itself(app: Flask) -> None:
    with app.test_request_context("/page"):
        names = _default_template_ctx_processor()
        assert list(names) == ["g", "request"]
        assert names["request"] is request._get_current_object()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize(("page", "vary"), [("x", None), ("{{ session['k'] }}", "Cookie")])
def test_only_a_template_that_names_the_session_reads_it(
    app: Flask, page: str, vary: str | None
) -> None:
    app.get("/")(lambda: render_template_string(page))
    assert app.test_client().get("/").headers.get("Vary") == vary


def test_it_is_the_one_templating_names() -> None:
    from torsyq import templating

    assert templating._default_template_ctx_processor is _default_template_ctx_processor
