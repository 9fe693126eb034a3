"""Blueprints: parts of an app that are set up apart and registered later."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from dataclasses import field

import click
import flask
import flask.sansio.blueprints
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

import torsyq
from torsyq import abort
from torsyq import Blueprint
from torsyq import Flask
from torsyq import g
from torsyq import render_template_string
from torsyq import request
from torsyq import Response
from torsyq import url_for
from torsyq.sansio.blueprints import Blueprint as SansioBlueprint
from torsyq.sansio.blueprints import BlueprintSetupState

from .outcomes import Complaint
from .outcomes import complaint


def in_both(build: t.Callable[[t.Any], t.Any]) -> t.Any:
    """What *build* makes of Torsyq, which is what it makes of Flask, too."""
    found = build(torsyq)
    assert found == build(flask)
    return found


# Any tree of blueprints becomes the same app


@dataclass
class Plan:
    """A blueprint to make, how to register it, and what to nest in it."""

    name: str
    made_with: dict[str, t.Any]
    registered_with: dict[str, t.Any]
    rules: list[tuple[str, dict[str, t.Any]]]
    commands: list[str]
    hooks: list[str]
    children: list[Plan] = field(default_factory=list)
    again: dict[str, t.Any] | None = None


HOOKS = (
    "before_request",
    "before_app_request",
    "after_request",
    "after_app_request",
    "teardown_request",
    "teardown_app_request",
    "context_processor",
    "app_context_processor",
    "url_value_preprocessor",
    "app_url_value_preprocessor",
    "url_defaults",
    "app_url_defaults",
)
REGISTRIES = (
    "before_request_funcs",
    "after_request_funcs",
    "teardown_request_funcs",
    "template_context_processors",
    "url_value_preprocessors",
    "url_default_functions",
)

prefixes = st.none() | st.sampled_from(["/a", "/a/", "/<lang>", "/", "", "b"])
subdomains = st.none() | st.sampled_from(["", "s", "t.u"])
defaults = st.none() | st.dictionaries(st.sampled_from("xy"), st.integers(0, 3), max_size=2)


def some(**options: st.SearchStrategy[t.Any]) -> st.SearchStrategy[dict[str, t.Any]]:
    """Any of the options, each with any of its values."""
    return st.fixed_dictionaries({}, optional=options)


rules = st.lists(
    st.tuples(
        st.sampled_from(["/", "/r", "/r/<int:id>/", "/q", ""]),
        some(
            endpoint=st.sampled_from(["e", "f"]),
            methods=st.just(["PUT"]),
            defaults=st.dictionaries(st.sampled_from("yz"), st.integers(4, 6), min_size=1),
            subdomain=st.sampled_from(["own", ""]),
            provide_automatic_options=st.booleans(),
            strict_slashes=st.booleans(),
        ),
    ),
    max_size=3,
)
registered_with = some(
    name=st.sampled_from(["n", "m", "o", "dotted.name"]),
    url_prefix=prefixes,
    subdomain=subdomains,
    url_defaults=defaults.filter(lambda value: value is not None),
    cli_group=st.none() | st.just("group"),
)
leaves = st.builds(
    Plan,
    name=st.sampled_from("pqrstuvw"),
    made_with=some(
        url_prefix=prefixes,
        subdomain=subdomains,
        url_defaults=defaults,
        static_folder=st.just("static"),
        static_url_path=st.sampled_from(["/st", "/st/"]),
        cli_group=st.none() | st.just("own-group"),
    ),
    registered_with=registered_with,
    rules=rules,
    commands=st.lists(st.sampled_from(["one", "two"]), max_size=1),
    hooks=st.lists(st.sampled_from(HOOKS), max_size=4),
    again=st.none() | registered_with,
)


def with_children(children: st.SearchStrategy[Plan]) -> st.SearchStrategy[Plan]:
    def nest(plan: Plan, nested: list[Plan]) -> Plan:
        return Plan(**{**vars(plan), "children": nested})

    return st.builds(nest, leaves, st.lists(children, min_size=1, max_size=2))


branches = with_children(leaves)
plans = leaves | branches | with_children(leaves | branches) | with_children(branches)


def named(name: str) -> t.Any:
    def function(*args: t.Any, **kwargs: t.Any) -> None: ...

    function.__name__ = name
    return function


def blueprint_of(package: t.Any, plan: Plan) -> t.Any:
    bp = package.Blueprint(plan.name, "x", root_path="/r", **plan.made_with)
    for number, (rule, options) in enumerate(plan.rules):
        bp.add_url_rule(rule, view_func=named(f"view{number}"), **options)
    for hook in plan.hooks:
        getattr(bp, hook)(named(f"{plan.name} {hook}"))
    bp.errorhandler(404)(named(f"{plan.name} lost"))
    bp.app_errorhandler(KeyError)(named(f"{plan.name} no key"))
    bp.endpoint(f"free.{plan.name}")(named("free"))
    bp.record(named("recorded"))
    for command in plan.commands:
        bp.cli.command(command)(named(command))
    for child in plan.children:
        bp.register_blueprint(blueprint_of(package, child), **child.registered_with)
    return bp


def commands_of(group: t.Any) -> dict[str, t.Any]:
    return {
        name: commands_of(command) if hasattr(command, "commands") else command.name
        for name, command in group.commands.items()
    }


def shape_of(app: t.Any) -> dict[str, t.Any]:
    """All that registering blueprints leaves in an app."""
    return {
        "rules": [
            (
                rule.rule,
                rule.endpoint,
                rule.subdomain,
                rule.defaults,
                rule.methods,
                rule.strict_slashes,
                getattr(rule, "provide_automatic_options", None),
            )
            for rule in app.url_map.iter_rules()
        ],
        "views": {endpoint: view.__name__ for endpoint, view in app.view_functions.items()},
        "blueprints": {name: bp.name for name, bp in app.blueprints.items()},
        "commands": commands_of(app.cli),
        "handlers": {
            scope: {
                code: {cls: handler.__name__ for cls, handler in handlers.items()}
                for code, handlers in by_code.items()
            }
            for scope, by_code in app.error_handler_spec.items()
        },
        **{
            registry: {
                scope: [function.__name__ for function in functions]
                for scope, functions in getattr(app, registry).items()
            }
            for registry in REGISTRIES
        },
    }


@settings(max_examples=200, deadline=None)
@given(plans)
def test_any_tree_of_blueprints_becomes_flasks_app(plan: Plan) -> None:
    def build(package: t.Any) -> t.Any:
        app = package.Flask("x", root_path="/r", static_folder=None)
        bp = blueprint_of(package, plan)
        trouble = [complaint(lambda: app.register_blueprint(bp, **plan.registered_with))]
        if (again := plan.again) is not None:
            trouble.append(complaint(lambda: app.register_blueprint(bp, **again)))
        return trouble, shape_of(app)

    in_both(build)


# Names


@pytest.mark.parametrize("name", ["", "a.b", "."])
def test_a_bad_name_is_refused(name: str) -> None:
    assert in_both(lambda package: complaint(lambda: package.Blueprint(name, "x"))) is not None


def test_dots_are_refused_where_they_would_be_taken_for_nesting() -> None:
    def build(package: t.Any) -> list[Complaint]:
        bp = package.Blueprint("bp", "x")
        return [
            complaint(lambda: bp.add_url_rule("/", endpoint="a.b")),
            complaint(lambda: bp.add_url_rule("/", view_func=named("a.b"))),
            complaint(lambda: bp.route("/", endpoint="a.b")(named("view"))),
        ]

    assert None not in in_both(build)


def test_a_name_is_taken_once() -> None:
    def build(package: t.Any) -> list[Complaint]:
        app = package.Flask("x")
        bp, other, outer = (package.Blueprint(name, "x") for name in ("bp", "bp", "outer"))
        outer.register_blueprint(bp)
        outer.register_blueprint(other)
        return [
            complaint(lambda: app.register_blueprint(bp)),
            complaint(lambda: app.register_blueprint(bp)),
            complaint(lambda: app.register_blueprint(other)),
            complaint(lambda: app.register_blueprint(other, name="other")),
            complaint(lambda: app.register_blueprint(bp, name="other")),
            complaint(lambda: app.register_blueprint(outer)),
        ]

    found = in_both(build)
    assert [trouble is None for trouble in found] == [True, False, False, True, False, False]


def test_a_blueprint_is_not_registered_on_itself() -> None:
    def build(package: t.Any) -> Complaint:
        bp = package.Blueprint("bp", "x")
        return complaint(lambda: bp.register_blueprint(bp))

    assert in_both(build) == (ValueError, "Cannot register a blueprint on itself")


def test_repr_names_it() -> None:
    assert repr(Blueprint("bp", "x")) == "<Blueprint 'bp'>"


# Set-up ends with the registration

SETUP_METHODS: dict[str, tuple[t.Any, ...]] = {
    "record": (len,),
    "record_once": (len,),
    "register_blueprint": (None,),
    "add_url_rule": ("/", "endpoint"),
    "route": ("/",),
    "get": ("/",),
    "before_request": (len,),
    "before_app_request": (len,),
    "after_app_request": (len,),
    "teardown_app_request": (len,),
    "app_context_processor": (len,),
    "app_errorhandler": (404,),
    "app_url_value_preprocessor": (len,),
    "app_url_defaults": (len,),
    "app_template_filter": (),
    "add_app_template_filter": (len,),
    "app_template_test": (),
    "add_app_template_test": (len,),
    "app_template_global": (),
    "add_app_template_global": (len,),
}


@pytest.mark.parametrize("name", SETUP_METHODS)
def test_setup_is_over_once_it_is_registered(name: str) -> None:
    def build(package: t.Any) -> Complaint:
        bp = package.Blueprint("bp", "x")
        package.Flask("x").register_blueprint(bp)
        return complaint(lambda: getattr(bp, name)(*SETUP_METHODS[name]))

    assert in_both(build)[0] is AssertionError


@pytest.mark.usefixtures("protocol")
def test_one_blueprint_serves_many_apps() -> None:
    bp = Blueprint("bp", "x")
    bp.get("/")(lambda: torsyq.current_app.name)
    apps = [Flask("one"), Flask("two")]
    for app in apps:
        app.register_blueprint(bp)
    assert [app.test_client().get("/").text for app in apps] == ["one", "two"]


# Recording


def test_what_is_recorded_gets_the_state_at_each_registration(app: Flask) -> None:
    bp = Blueprint("bp", "x", url_prefix="/made", subdomain="made", url_defaults={"a": 1, "b": 1})
    states: list[BlueprintSetupState] = []
    bp.record(states.append)
    app.register_blueprint(bp)
    app.register_blueprint(
        bp, name="again", url_prefix="/given", subdomain="", url_defaults={"b": 2}, own="option"
    )
    first, second = states
    assert (first.app, first.blueprint, first.options) == (app, bp, {})
    assert (first.name, first.name_prefix, first.first_registration) == ("bp", "", True)
    assert (first.url_prefix, first.subdomain) == ("/made", "made")
    assert first.url_defaults == {"a": 1, "b": 1}
    assert (second.name, second.first_registration) == ("again", False)
    assert (second.url_prefix, second.subdomain) == ("/given", "")
    assert second.url_defaults == {"a": 1, "b": 2}
    assert second.options["own"] == "option"


def test_what_is_recorded_once_runs_once_an_app() -> None:
    bp = Blueprint("bp", "x")
    seen = []

    def note(state: BlueprintSetupState) -> None:
        """Note the app."""
        seen.append(state.app)

    bp.record_once(note)
    assert bp.deferred_functions[0].__doc__ == "Note the app."
    apps = [Flask("one"), Flask("two")]
    for app in apps:
        app.register_blueprint(bp)
        app.register_blueprint(bp, name="again")
    assert seen == apps


@pytest.mark.usefixtures("protocol")
def test_a_subclass_may_make_its_own_state(app: Flask) -> None:
    class Shouting(BlueprintSetupState):
        def add_url_rule(self, rule: str, *args: t.Any, **options: t.Any) -> None:
            super().add_url_rule(rule.upper(), *args, **options)

    class Own(Blueprint):
        def make_setup_state(
            self, app: t.Any, options: dict[str, t.Any], first_registration: bool = False
        ) -> BlueprintSetupState:
            return Shouting(self, app, options, first_registration)

    bp = Own("bp", "x", url_prefix="/pre")
    bp.get("/page")(lambda: "x")
    app.register_blueprint(bp)
    assert app.test_client().get("/pre/PAGE").text == "x"


@pytest.mark.usefixtures("protocol")
def test_a_state_adds_a_rule_without_a_view(app: Flask) -> None:
    bp = Blueprint("bp", "x", url_prefix="/pre")
    bp.record(lambda state: state.add_url_rule("/page", "page"))
    app.register_blueprint(bp)
    app.view_functions["bp.page"] = lambda: "x"
    assert app.test_client().get("/pre/page").text == "x"


def test_a_rule_needs_an_endpoint_or_a_view(app: Flask) -> None:
    bp = Blueprint("bp", "x")
    bp.add_url_rule("/")
    with pytest.raises(AssertionError, match="^expected view func if endpoint is not provided"):
        app.register_blueprint(bp)


# Requests: hooks run outermost scope first on the way in, last on the way out


@pytest.mark.usefixtures("protocol")
def test_hooks_of_nested_blueprints_run_from_the_outside_in(app: Flask) -> None:
    order: list[str] = []

    def hooks(owner: t.Any, name: str) -> None:
        @owner.after_request
        def after(response: Response) -> Response:
            order.append(f"{name} after")
            return response

        owner.url_value_preprocessor(lambda e, v: order.append(f"{name} values"))
        owner.before_request(lambda: order.append(f"{name} before"))
        owner.teardown_request(lambda e: order.append(f"{name} teardown"))

    outer, inner, other = (Blueprint(name, "x") for name in ("outer", "inner", "other"))
    for name, owner in {"app": app, "outer": outer, "inner": inner, "other": other}.items():
        hooks(owner, name)
    inner.get("/inner")(lambda: "x")
    outer.get("/outer")(lambda: "x")
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    app.register_blueprint(other)

    client = app.test_client()
    client.get("/inner")
    names = ["app", "outer", "inner"]
    assert order == (
        [f"{name} values" for name in names]
        + [f"{name} before" for name in names]
        + [f"{name} after" for name in reversed(names)]
        + [f"{name} teardown" for name in reversed(names)]
    )
    order.clear()
    client.get("/outer")
    assert "inner before" not in order
    order.clear()
    client.get("/nowhere")
    assert order == ["app values", "app before", "app after", "app teardown"]


@pytest.mark.usefixtures("protocol")
def test_app_wide_hooks_run_for_all_requests(app: Flask) -> None:
    bp = Blueprint("bp", "x")
    ended = []

    @bp.before_app_request
    def before() -> None:
        g.mark = "before"

    @bp.after_app_request
    def after(response: Response) -> Response:
        response.headers["X-Mark"] = g.mark
        return response

    @bp.teardown_app_request
    def teardown(error: BaseException | None) -> None:
        ended.append(g.mark)

    @bp.app_context_processor
    def names() -> dict[str, t.Any]:
        return {"river": "Esil"}

    app.register_blueprint(bp)
    app.get("/")(lambda: render_template_string("{{ river }}"))
    answer = app.test_client().get("/")
    assert (answer.text, answer.headers["X-Mark"], ended) == ("Esil", "before", ["before"])


@pytest.mark.usefixtures("protocol")
def test_a_context_processor_is_for_the_blueprints_own_templates(app: Flask) -> None:
    bp = Blueprint("bp", "x")
    page = "{{ river or 'none' }}"
    bp.context_processor(lambda: {"river": "Esil"})
    bp.get("/bp")(lambda: render_template_string(page))
    app.get("/", endpoint="app")(lambda: render_template_string(page))
    app.register_blueprint(bp)
    client = app.test_client()
    assert (client.get("/bp").text, client.get("/").text) == ("Esil", "none")


@pytest.mark.usefixtures("protocol")
def test_url_processors_take_a_value_out_and_put_it_back(app: Flask) -> None:
    bp = Blueprint("bp", "x", url_prefix="/<lang>")

    @bp.url_value_preprocessor
    def take(endpoint: str | None, values: dict[str, t.Any] | None) -> None:
        assert values is not None
        g.lang = values.pop("lang")

    @bp.url_defaults
    def give(endpoint: str, values: dict[str, t.Any]) -> None:
        values.setdefault("lang", g.lang)

    bp.get("/", endpoint="index")(lambda: url_for(".about"))
    bp.get("/about", endpoint="about")(lambda: url_for("bp.index", lang="en"))
    app.register_blueprint(bp)
    client = app.test_client()
    assert (client.get("/kk/").text, client.get("/kk/about").text) == ("/kk/about", "/en/")


@pytest.mark.usefixtures("protocol")
def test_app_wide_url_processors_see_all_urls(app: Flask) -> None:
    bp = Blueprint("bp", "x")
    seen = []

    @bp.app_url_value_preprocessor
    def take(endpoint: str | None, values: dict[str, t.Any] | None) -> None:
        seen.append(endpoint)

    @bp.app_url_defaults
    def give(endpoint: str, values: dict[str, t.Any]) -> None:
        values["lang"] = "kk"

    app.register_blueprint(bp)
    app.get("/", endpoint="index")(lambda: url_for("index"))
    assert app.test_client().get("/").text == "/?lang=kk"
    assert seen == ["index"]


@pytest.mark.usefixtures("protocol")
def test_a_rules_own_defaults_go_before_the_blueprints(app: Flask) -> None:
    bp = Blueprint("bp", "x", url_defaults={"a": 1, "b": 1})
    bp.add_url_rule("/", "all", lambda **values: values, defaults={"b": 2})
    app.register_blueprint(bp, url_defaults={"c": 3})
    assert app.test_client().get("/").json == {"a": 1, "b": 2, "c": 3}


# Errors


@pytest.mark.usefixtures("protocol")
def test_the_innermost_handler_answers(app: Flask) -> None:
    outer, inner = Blueprint("outer", "x"), Blueprint("inner", "x", url_prefix="/inner")
    app.errorhandler(403)(lambda e: ("app", 403))
    outer.errorhandler(403)(lambda e: ("outer", 403))
    inner.errorhandler(ValueError)(lambda e: f"inner {e}")
    outer.app_errorhandler(404)(lambda e: ("lost", 404))
    inner.get("/<int:code>")(lambda code: abort(code))
    outer.get("/outer")(lambda: abort(403))
    app.get("/app")(lambda: abort(403))

    @inner.get("/value")
    def value() -> str:
        raise ValueError("seen")

    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    client = app.test_client()
    assert client.get("/inner/403").text == "outer"
    assert client.get("/inner/value").text == "inner seen"
    assert client.get("/outer").text == "outer"
    assert client.get("/app").text == "app"
    assert client.get("/nowhere").text == "lost"


# Templates


def test_filters_tests_and_globals_reach_all_templates(app: Flask) -> None:
    bp = Blueprint("bp", "x")

    @bp.app_template_filter()
    def backwards(text: str) -> str:
        return text[::-1]

    @bp.app_template_filter("loud")
    def shout(text: str) -> str:
        return text.upper()

    @bp.app_template_test()
    def short(text: str) -> bool:
        return len(text) < 4

    @bp.app_template_test(name="long")
    def is_long(text: str) -> bool:
        return len(text) >= 4

    @bp.app_template_global()
    def river() -> str:
        return "Esil"

    @bp.app_template_global("town")
    def get_town() -> str:
        return "Astana"

    bp.add_app_template_filter(lambda text: text.title(), "title_case")
    bp.add_app_template_test(lambda text: text == "", "blank")
    bp.add_app_template_global(lambda: "steppe", "land")
    app.register_blueprint(bp)
    page = (
        "{{ 'abc'|backwards }} {{ 'abc'|loud }} {{ 'abc'|title_case }}"
        " {{ 'abc' is short }} {{ 'abc' is long }} {{ '' is blank }}"
        " {{ river() }} {{ town() }} {{ land() }}"
    )
    with app.test_request_context():
        expected = "cba ABC Abc True False True Esil Astana steppe"
        assert render_template_string(page) == expected
    assert (backwards("ab"), short("ab"), river()) == ("ba", True, "Esil")


# URLs


@pytest.mark.usefixtures("protocol")
def test_endpoints_beginning_with_a_dot_are_the_blueprints_own(app: Flask) -> None:
    outer, inner = Blueprint("outer", "x"), Blueprint("inner", "x", url_prefix="/inner")
    inner.get("/", endpoint="index")(lambda: f"{url_for('.index')} {request.blueprints}")
    outer.get("/", endpoint="index")(lambda: url_for(".inner.index"))
    outer.register_blueprint(inner)
    app.register_blueprint(outer, url_prefix="/outer")
    client = app.test_client()
    assert client.get("/outer/inner/").text == "/outer/inner/ ['outer.inner', 'outer']"
    assert client.get("/outer/").text == "/outer/inner/"


@pytest.mark.usefixtures("protocol")
def test_subdomains_add_up() -> None:
    app = Flask("x", subdomain_matching=True)
    app.config["SERVER_NAME"] = "steppe.test"
    outer, inner = Blueprint("outer", "x", subdomain="api"), Blueprint("inner", "x", subdomain="v1")
    inner.get("/")(lambda: "inner")
    outer.get("/")(lambda: "outer")
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    client = app.test_client()
    assert client.get("/", base_url="http://api.steppe.test").text == "outer"
    assert client.get("/", base_url="http://v1.api.steppe.test").text == "inner"
    assert client.get("/", base_url="http://steppe.test").status_code == 404


# Commands


@pytest.mark.parametrize(
    ("made_with", "registered_with", "line"),
    [
        ({}, {}, ["bp", "hello"]),
        ({}, {"name": "other"}, ["other", "hello"]),
        ({"cli_group": None}, {}, ["hello"]),
        ({"cli_group": "own"}, {}, ["own", "hello"]),
        ({"cli_group": "own"}, {"cli_group": "given"}, ["given", "hello"]),
        ({"cli_group": "own"}, {"cli_group": None}, ["hello"]),
    ],
)
def test_commands_are_found_in_their_group(
    app: Flask, made_with: dict[str, t.Any], registered_with: dict[str, t.Any], line: list[str]
) -> None:
    bp = Blueprint("bp", "x", **made_with)

    @bp.cli.command("hello")
    def hello() -> None:
        click.echo("Hello!")

    app.register_blueprint(bp, **registered_with)
    assert app.test_cli_runner().invoke(args=line).output == "Hello!\n"


def test_a_group_declared_by_a_subclass_is_registered(app: Flask) -> None:
    class Own(Blueprint):
        cli = click.Group("own", commands=[click.Command("hello")])

    app.register_blueprint(Own("bp", "x"))
    assert list(t.cast(click.Group, app.cli.commands["bp"]).commands) == ["hello"]


# The part that sends nothing


def test_the_sansio_blueprint_is_the_base() -> None:
    assert issubclass(Blueprint, SansioBlueprint)
    assert issubclass(flask.Blueprint, flask.sansio.blueprints.Blueprint)
    assert not hasattr(SansioBlueprint, "send_static_file")
    assert SansioBlueprint("bp", "x").name == "bp"
