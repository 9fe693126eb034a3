"""Templates: where they are found, what they know, and what rendering tells others."""

from __future__ import annotations

import logging
import os
import pathlib
import typing as t
from collections import OrderedDict

import flask
import flask.templating
import jinja2
import jinja2.ext
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import SandboxedEnvironment

import torsyq
from torsyq import before_render_template
from torsyq import g
from torsyq import render_template
from torsyq import render_template_string
from torsyq import session
from torsyq import stream_template
from torsyq import stream_template_string
from torsyq import template_rendered
from torsyq.globals import request_ctx
from torsyq.templating import _default_template_ctx_processor
from torsyq.templating import DispatchingJinjaLoader
from torsyq.templating import Environment

from .calls import calls_of
from .servers import run


@pytest.fixture
def app(tmp_path: pathlib.Path) -> torsyq.Flask:
    """An app with a blueprint; each has a folder of templates."""
    files = {
        "templates/page.html": "app {{ name }}",
        "templates/base.html": "<{% block body %}{% endblock %}>",
        "templates/child.html": '{% extends "base.html" %}{% block body %}{{ name }}{% endblock %}',
        "templates/mail.txt": "{{ name }}",
        "templates/picture.svg": "{{ name }}",
        "templates/macros.html": "{% macro where() %}{{ request.path }}{% endmacro %}",
        "templates/part.html": "{{ name }}{{ config.WHO }}{{ local }}",
        "bp/page.html": "blueprint {{ name }}",
        "bp/only.html": "only {{ name }}",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    app = torsyq.Flask("app", root_path=str(tmp_path))
    app.config.update(TESTING=True, SECRET_KEY="key", WHO="me")
    app.register_blueprint(
        torsyq.Blueprint("bp", "bp", root_path=str(tmp_path), template_folder="bp")
    )
    app.register_blueprint(torsyq.Blueprint("bare", "bare", root_path=str(tmp_path)))
    return app


class TestFinding:
    def test_the_app_s_folder_comes_first(self, app: torsyq.Flask) -> None:
        with app.app_context():
            assert render_template("page.html", name="x") == "app x"
            assert render_template("only.html", name="x") == "only x"

    def test_the_first_of_several_that_exists(self, app: torsyq.Flask) -> None:
        with app.app_context():
            assert render_template(["none.html", "only.html"], name="x") == "only x"
            with pytest.raises(jinja2.TemplatesNotFound):
                render_template(["a.html", "b.html"])

    def test_a_template_shows_itself_as_jinja_s(self, app: torsyq.Flask) -> None:
        template = app.jinja_env.from_string("")
        assert repr(template).startswith("<Template memory:")
        assert str(type(template)) == str(jinja2.Template)

    def test_a_template_object(self, app: torsyq.Flask) -> None:
        template = app.jinja_env.from_string("{{ name }} {{ config.WHO }}")
        with app.app_context():
            assert render_template(template, name="x") == "x me"

    @pytest.mark.parametrize("explain", [True, False])
    def test_one_that_is_missing_is_named(
        self, app: torsyq.Flask, explain: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        app.config["EXPLAIN_TEMPLATE_LOADING"] = explain
        with (
            caplog.at_level(logging.INFO),
            app.app_context(),
            pytest.raises(jinja2.TemplateNotFound, match="^missing.html$"),
        ):
            render_template("missing.html")
        assert ("Locating template 'missing.html'" in caplog.text) is explain
        assert ("trying loader of blueprint 'bp'" in caplog.text) is explain

    def test_explaining_finds_the_same(
        self, app: torsyq.Flask, caplog: pytest.LogCaptureFixture
    ) -> None:
        app.config["EXPLAIN_TEMPLATE_LOADING"] = True
        with caplog.at_level(logging.INFO), app.app_context():
            assert render_template("page.html", name="x") == "app x"
        assert "'page.html'" in caplog.text

    def test_all_names(self, app: torsyq.Flask) -> None:
        names = app.jinja_env.list_templates()
        assert len(names) == len(set(names)) == 8
        assert {"page.html", "only.html"} < set(names)

    def test_loaders_are_those_of_who_has_templates(self, app: torsyq.Flask) -> None:
        loader = DispatchingJinjaLoader(app)
        owners = [owner.name for owner, _ in loader._iter_loaders("any")]
        assert owners == ["app", "bp"]

    def test_a_changed_file_is_read_again_where_asked_for(
        self, app: torsyq.Flask, tmp_path: pathlib.Path
    ) -> None:
        app.config["TEMPLATES_AUTO_RELOAD"] = True
        path = tmp_path / "templates" / "page.html"
        with app.app_context():
            assert render_template("page.html", name="x") == "app x"
            path.write_text("new {{ name }}")
            os.utime(path, (0, 0))
            assert render_template("page.html", name="x") == "new x"


class TestContext:
    def test_the_processor_is_the_app_s_and_leaves_the_session_alone(
        self, app: torsyq.Flask
    ) -> None:
        assert app.template_context_processors[None] == [_default_template_ctx_processor]
        assert _default_template_ctx_processor() == {}
        with app.app_context():
            assert _default_template_ctx_processor() == {"g": g._get_current_object()}
        with app.test_request_context():
            assert _default_template_ctx_processor() == {
                "g": g._get_current_object(),
                "request": request_ctx.request,
            }

    @pytest.mark.usefixtures("protocol")
    @pytest.mark.parametrize(
        ("source", "used"),
        [
            ("x", False),
            ("{{ request.path }}{{ g }}{{ config.WHO }}", False),
            ("{{ session.a }}", True),
            ("{% if session %}{% endif %}", True),
            ("{% if session is defined %}{% endif %}", True),
            ("{% set s = session %}", False),
            ("{{ get_flashed_messages() }}", True),
            ("{% macro m() %}{{ session.a }}{% endmacro %}{{ m() }}", True),
        ],
    )
    def test_a_response_varies_when_the_template_used_the_session(
        self, source: str, used: bool
    ) -> None:
        for framework in (flask, torsyq):
            app: t.Any = framework.Flask("app")
            app.secret_key = "key"
            render = framework.render_template_string
            app.add_url_rule("/", view_func=lambda render=render: render(source))
            assert ("Vary" in app.test_client().get("/").headers) is used

    def test_what_the_view_passes_wins_over_processors_and_globals(self, app: torsyq.Flask) -> None:
        app.context_processor(lambda: {"name": "processor", "request": "R", "more": 1})
        with app.test_request_context("/where"):
            assert render_template_string("{{ name }} {{ more }}", name="view") == "view 1"
            assert render_template_string("{{ request }}") == "R"
            assert render_template_string("{{ config }}", config=5) == "5"

    def test_globals_that_come_late_are_known(self, app: torsyq.Flask) -> None:
        app.jinja_env.globals["late"] = 1
        with app.app_context():
            template = app.jinja_env.from_string("{{ late }}")
            assert render_template(template) == "1"
            app.jinja_env.globals["late"] = 2
            assert render_template(template) == "2"

    def test_globals_of_one_template(self, app: torsyq.Flask) -> None:
        env = app.jinja_env
        template = env.from_string("{{ own }}{{ config.WHO }}", globals={"own": 1})
        assert template.render() == "1me"
        assert env.from_string("{{ own }}").render() == ""
        assert template.render(own=2) == "2me"

    def test_a_template_given_as_text_is_compiled_once(self, app: torsyq.Flask) -> None:
        env, compiled, parsed = app.jinja_env, [], []
        compile_source, parse = env.compile, env._parse
        env.compile = lambda source: compiled.append(source) or compile_source(source)  # type: ignore[method-assign,assignment,func-returns-value]
        env._parse = lambda *args: parsed.append(args[0]) or parse(*args)  # type: ignore[method-assign,func-returns-value]
        with app.app_context():
            for number in range(3):
                env.globals["late"] = number
                assert render_template_string("{{ name }}{{ late }}", name="x") == f"x{number}"
        assert len(compiled) == 1
        assert parsed == ["{{ name }}{{ late }}"]
        first, second = env.from_string("{{ name }}"), env.from_string("{{ name }}")
        assert first is not second
        assert first.globals is not second.globals

    def test_an_unknown_filter_is_shown_in_its_source(self, app: torsyq.Flask) -> None:
        with app.app_context(), pytest.raises(jinja2.TemplateAssertionError) as info:
            render_template_string("first\n{{ name|nope }}")
        assert (info.value.lineno, info.value.source) == (2, "first\n{{ name|nope }}")

    def test_a_change_of_the_environment_is_seen_in_a_text_that_was_rendered(self) -> None:
        def change(env: t.Any) -> t.Iterator[None]:
            yield
            env.filters["twice"] = lambda text: text + text
            yield
            env.filters["twice"] = lambda text: text * 3
            yield
            env.tests["odd"] = lambda value: True
            yield
            env.autoescape = False
            yield
            env.trim_blocks = True
            yield
            env.variable_start_string, env.variable_end_string = "{%=", "=%}"
            yield
            env.finalize = lambda value: f"<{value}>"
            yield
            env.finalize = None
            env.is_async = True
            yield

        source = "{{ 'ab<'|twice }}{% if 2 is odd %}\nodd{% endif %}{%= x =%}"

        def seen(framework: t.Any) -> t.Iterator[str]:
            app = framework.Flask("app")
            with app.app_context():
                for _ in change(app.jinja_env):
                    try:
                        yield framework.render_template_string(source, x="&")
                    except jinja2.TemplateError as error:
                        yield str(error)

        assert list(seen(torsyq)) == list(seen(flask))

    def test_what_a_text_is_compiled_to_may_depend_on_the_request(self) -> None:
        def seen(framework: t.Any, source: str, **options: t.Any) -> list[str]:
            app = framework.Flask("app")
            app.jinja_options = options

            class Shouting(jinja2.ext.Extension):
                def preprocess(
                    self, source: str, name: str | None, filename: str | None = None
                ) -> str:
                    return source.replace("hello", framework.request.args["say"])

            if "shouting" in source:
                app.jinja_env.add_extension(Shouting)
            app.template_filter("say")(lambda text: framework.request.args["say"] + text)
            app.template_test("said")(lambda text: text == framework.request.args["say"])
            app.select_jinja_autoescape = lambda name: framework.request.args["say"] == "a"
            app.add_url_rule("/", "page", lambda: framework.render_template_string(source, x="<"))
            client = app.test_client()
            return [client.get(f"/?say={word}").text for word in "aab"]

        for source in (
            "{{ 'x'|say }}",
            "{{ x|say }}",
            "{{ 'x'|say|upper }}",
            "{{ ('x' if 1 else x)|say }}",
            "{{ (1 or x)|string|say }}",
            "{% if 'a' is said %}yes{% endif %}",
            "{% filter say %}x{% endfilter %}",
            "{{ '<' }}",
            "hello shouting",
        ):
            assert seen(torsyq, source) == seen(flask, source), source
        finalize = {"finalize": lambda value: f"{value}{flask.request.args['say']}"}
        ours = {"finalize": lambda value: f"{value}{torsyq.request.args['say']}"}
        assert seen(torsyq, "{{ 1 }}", **ours) == seen(flask, "{{ 1 }}", **finalize)

    def test_a_text_that_was_rendered_follows_the_style_of_translations(self) -> None:
        def seen(framework: t.Any) -> t.Iterator[str]:
            env = framework.Flask("app").jinja_env
            env.add_extension("jinja2.ext.i18n")
            for newstyle in False, True, False:
                env.install_gettext_callables(lambda text: f"{text}!", str, newstyle=newstyle)
                yield env.from_string("{% trans %}hello {{ name }}{% endtrans %}").render(name="<")

        assert list(seen(torsyq)) == list(seen(flask))

    def test_no_more_than_fifty_texts_are_kept(self, app: torsyq.Flask) -> None:
        env = app.jinja_env
        for number in range(60):
            assert env.from_string(f"{number}").render() == f"{number}"
        assert env.from_string("x" * 20_000).render() == "x" * 20_000
        assert len(env._compiled[1]) == 50

    def test_another_syntax_is_another_template(self, app: torsyq.Flask) -> None:
        env = app.jinja_env
        assert env.from_string("{{ 1 }}[[ 2 ]]").render() == "1[[ 2 ]]"
        other = env.overlay(variable_start_string="[[", variable_end_string="]]")
        assert other.from_string("{{ 1 }}[[ 2 ]]").render() == "{{ 1 }}2"
        assert env.from_string("{{ 1 }}[[ 2 ]]").render() == "1[[ 2 ]]"

    def test_an_environment_that_keeps_nothing_keeps_no_text(self) -> None:
        app = torsyq.Flask("app")
        app.jinja_options = {"cache_size": 0}
        assert app.jinja_env.from_string("{{ 1 }}").render() == "1"
        assert len(app.jinja_env._compiled[1]) == 0

    def test_a_broken_text_is_refused_each_time(self, app: torsyq.Flask) -> None:
        for _ in range(2):
            with pytest.raises(jinja2.TemplateSyntaxError):
                app.jinja_env.from_string("{% if %}")

    def test_included_and_imported_templates(self, app: torsyq.Flask) -> None:
        with app.test_request_context("/where"):
            source = (
                '{% from "macros.html" import where %}{{ where() }} '
                '{% with local = 3 %}{% include "part.html" %}{% endwith %} '
                '{% include "part.html" without context %}'
            )
            assert render_template_string(source, name="x") == "/where xme3 me"
            assert render_template("child.html", name="<x>") == "<&lt;x&gt;>"

    def test_a_template_of_plain_globals(self, app: torsyq.Flask) -> None:
        code = app.jinja_env.compile("{{ a }}{{ b }}")
        template = app.jinja_env.template_class.from_code(app.jinja_env, code, {"a": 1})
        assert template.render(b=2) == "12"

    @pytest.mark.parametrize(
        ("name", "escaped"), [("page.html", True), ("mail.txt", False), ("picture.svg", True)]
    )
    def test_escaping_is_by_name(self, app: torsyq.Flask, name: str, escaped: bool) -> None:
        with app.app_context():
            assert ("&lt;" in render_template(name, name="<x>")) is escaped
            assert render_template_string("{{ a }}", a="<") == "&lt;"


class Row:
    """An object with an attribute and an item of one name."""

    both = "attribute"

    def __getitem__(self, key: str) -> str:
        if key in {"both", "item"}:
            return f"item {key}"
        raise KeyError(key)


class OwnDict(dict[str, t.Any]):
    own = "attribute"


objects = st.sampled_from(
    [
        {"a": 1, "items": 2, "get": 3, "__class__": 4, "_x": 5, "": 6},
        {},
        Row(),
        OwnDict(own=1, a=2),
        OrderedDict(a=1, items=2),
        [1],
        None,
        5,
        "text",
        jinja2.Undefined(name="u"),
    ]
)
attributes = st.sampled_from(
    ["a", "items", "get", "__class__", "_x", "", "both", "item", "own", "0", "missing"]
)
plain_env = jinja2.Environment()
our_env = torsyq.Flask("app").jinja_env


@given(objects, attributes)
def test_attributes_and_items_are_found_as_jinja_finds_them(obj: t.Any, attribute: str) -> None:
    outcomes: list[tuple[t.Any, ...]] = []
    for env in (plain_env, our_env):
        try:
            found = env.getattr(obj, attribute)
        except Exception as error:
            outcomes.append((type(error), str(error)))
        else:
            outcomes.append((type(found), None if callable(found) else str(found)))
    assert outcomes[0] == outcomes[1]


def test_an_objects_attribute_takes_one_call_and_is_computed_once() -> None:
    class Row:
        asked = 0
        name = "Abai"

        @property
        def lost(self) -> str:
            self.asked += 1
            raise AttributeError

        def __getitem__(self, key: str) -> str:
            return f"item {key}"

    env, row = Environment(torsyq.Flask("app")), Row()

    assert calls_of(lambda: env.getattr(row, "name")) == 1
    assert env.from_string("{{ row.name }}, {{ row.lost }}").render(row=row) == "Abai, item lost"
    assert row.asked == 1
    assert isinstance(env.getattr(7, "name"), jinja2.Undefined)


def test_a_sandbox_stays_one() -> None:
    class Sandbox(Environment, SandboxedEnvironment):
        pass

    env = Sandbox(torsyq.Flask("app"))
    assert (
        env.from_string("{{ f.__globals__ }}{{ d.a }}").render(
            f=test_a_sandbox_stays_one, d={"a": 1}
        )
        == "1"
    )
    with pytest.raises(jinja2.exceptions.SecurityError):
        env.from_string("{{ f.__globals__.x }}").render(f=test_a_sandbox_stays_one)


class TestEnvironment:
    def test_it_knows_the_app_and_its_loader(self, app: torsyq.Flask) -> None:
        env = Environment(app)
        assert env.app is app
        assert isinstance(env.loader, DispatchingJinjaLoader)
        assert Environment(app, loader=None).loader is None

    def test_an_app_may_have_another(self) -> None:
        class Mine(Environment):
            pass

        class App(torsyq.Flask):
            jinja_environment = Mine

        assert type(App("app").jinja_env) is Mine


class TestStreaming:
    @pytest.mark.usefixtures("protocol")
    def test_in_a_request_the_stream_keeps_it(self, app: torsyq.Flask) -> None:
        @app.get("/<name>")
        def view(name: str) -> t.Any:
            session["a"] = 1
            if name == "file":
                return stream_template("page.html", name=name)
            return stream_template_string("{{ request.path }} {{ session.a }}")

        client = app.test_client()
        assert client.get("/file").text == "app file"
        assert client.get("/text").text == "/text 1"

    def test_outside_of_one_too(self, app: torsyq.Flask) -> None:
        with app.app_context():
            stream = stream_template_string("{{ a }}-{{ config.WHO }}", a=1)
            assert "".join(stream) == "1-me"


class TestSignals:
    @pytest.fixture
    def log(self, app: torsyq.Flask) -> t.Iterator[list[tuple[t.Any, ...]]]:
        log: list[tuple[t.Any, ...]] = []

        def before(sender: object, template: jinja2.Template, context: dict[str, t.Any]) -> None:
            log.append(("before", sender, template.name, context["name"]))

        def after(sender: object, template: jinja2.Template, context: dict[str, t.Any]) -> None:
            log.append(("after", sender, template.name, context["name"]))

        with before_render_template.connected_to(before), template_rendered.connected_to(after):
            yield log

    def test_rendering(self, app: torsyq.Flask, log: list[tuple[t.Any, ...]]) -> None:
        with app.app_context():
            render_template("page.html", name="x")
        assert log == [("before", app, "page.html", "x"), ("after", app, "page.html", "x")]
        assert log[0][1] is app

    def test_streaming(self, app: torsyq.Flask, log: list[tuple[t.Any, ...]]) -> None:
        with app.app_context():
            stream = stream_template("page.html", name="x")
            assert [entry[0] for entry in log] == ["before"]
            next(stream)
            assert len(log) == 1
            list(stream)
        assert [entry[0] for entry in log] == ["before", "after"]

    def test_a_failure_ends_it(self, app: torsyq.Flask, log: list[tuple[t.Any, ...]]) -> None:
        with app.app_context(), pytest.raises(ZeroDivisionError):
            render_template_string("{{ 1 / 0 }}", name="x")
        assert [entry[0] for entry in log] == ["before"]

    def test_a_receiver_may_change_the_context(self, app: torsyq.Flask) -> None:
        def receiver(sender: object, context: dict[str, t.Any], **extra: t.Any) -> None:
            context["name"] = "changed"

        with app.app_context(), before_render_template.connected_to(receiver, app):
            assert render_template("page.html", name="x") == "app changed"


@pytest.mark.parametrize(
    "render", [render_template, render_template_string, stream_template, stream_template_string]
)
def test_an_app_is_needed(render: t.Callable[[str], object]) -> None:
    with pytest.raises(RuntimeError, match="Working outside of application context"):
        render("x")


def test_json_in_a_template_is_the_app_s(app: torsyq.Flask) -> None:
    with app.app_context():
        text = render_template_string("{{ data | tojson }}", data={"b": "</script>", "a": 1})
    assert text == '{"a": 1, "b": "\\u003c/script\\u003e"}'


def test_replacing_a_function_here_replaces_none_in_the_package(tmp_path: pathlib.Path) -> None:
    """Not even when it is read from there for the first time meanwhile."""
    code = """
from unittest import mock
import torsyq
with mock.patch("torsyq.templating.render_template"):
    first = torsyq.render_template
print(first.__name__, torsyq.render_template is first)
"""
    assert run(tmp_path, "-c", code).stdout == "render_template True\n"


def test_a_filter_may_be_added_while_a_template_is_compiled(app: torsyq.Flask) -> None:
    class Growing(dict[str, t.Any]):
        """As if another thread added one at each step."""

        def items(self) -> t.Any:
            for item in super().items():
                self[f"own{len(self)}"] = str
                yield item

    env = app.jinja_env
    env.filters, env.tests = Growing(env.filters), Growing(env.tests)
    with app.app_context():
        assert render_template_string("{{ 'a'|upper }}{{ 1 is odd }}") == "ATrue"


def test_a_text_compiled_with_settings_that_are_no_more_is_not_kept(
    app: torsyq.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, source = app.jinja_env, "{% if true %}\nx{% endif %}"

    def compile_meanwhile(text: str) -> t.Any:
        """As if another thread changed a setting just then, and had a template compiled."""
        monkeypatch.undo()
        code = env.compile(text)
        env.trim_blocks = True
        env.from_string("another one")
        return code

    monkeypatch.setattr(env, "compile", compile_meanwhile)
    assert env.from_string(source).render() == "\nx"
    assert env.from_string(source).render() == "x"
