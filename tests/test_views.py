"""Class-based views."""

from __future__ import annotations

import typing as t
from functools import wraps

import flask.views
import pytest
from hypothesis import given
from hypothesis import strategies as st

import torsyq.typing as ft
from torsyq import abort
from torsyq import Flask
from torsyq import request
from torsyq.views import http_method_funcs
from torsyq.views import MethodView
from torsyq.views import View

from .calls import Calls


@pytest.mark.usefixtures("protocol")
def test_the_values_of_the_url_are_passed_on(app: Flask) -> None:
    class Hello(View):
        def dispatch_request(self, name: str) -> str:  # type: ignore[override]
            return f"Hello, {name}!"

    app.add_url_rule("/<name>", view_func=Hello.as_view("hello"))
    assert app.test_client().get("/Abai").text == "Hello, Abai!"


def test_the_view_carries_what_the_class_says() -> None:
    class Hello(View):
        """Says hello."""

        methods: t.ClassVar = ["PUT"]
        provide_automatic_options = False

        def dispatch_request(self) -> str:
            return "x"

    view: t.Any = Hello.as_view("greet")
    assert (view.__name__, view.__doc__, view.__module__) == ("greet", "Says hello.", __name__)
    assert (view.view_class, view.methods) == (Hello, ["PUT"])
    assert view.provide_automatic_options is False


@pytest.mark.usefixtures("protocol")
def test_the_arguments_of_as_view_make_each_instance(app: Flask) -> None:
    made = []

    class Page(View):
        def __init__(self, text: str, *, loud: bool) -> None:
            made.append(self)
            self.text = text.upper() if loud else text

        def dispatch_request(self) -> str:
            return self.text

    app.add_url_rule("/", view_func=Page.as_view("page", "hey", loud=True))
    client = app.test_client()
    assert [client.get("/").text for _ in range(3)] == ["HEY"] * 3
    assert len({id(page) for page in made}) == 3


@pytest.mark.usefixtures("protocol")
def test_one_instance_serves_all_when_asked_to(app: Flask) -> None:
    class Counter(View):
        init_every_request = False

        def __init__(self) -> None:
            self.count = 0

        def __bool__(self) -> bool:
            return False  # A falsy instance is an instance.

        def dispatch_request(self) -> str:
            self.count += 1
            return str(self.count)

    app.add_url_rule("/", view_func=Counter.as_view("counter"))
    app.add_url_rule("/other", view_func=Counter.as_view("other"))
    client = app.test_client()
    assert [client.get(url).text for url in ("/", "/", "/other")] == ["1", "2", "1"]


@pytest.mark.usefixtures("protocol")
def test_decorators_are_put_around_the_first_innermost(app: Flask) -> None:
    named = []

    def wrap(mark: str) -> t.Callable[[t.Callable[..., str]], t.Callable[..., str]]:
        def decorator(view: t.Callable[..., str]) -> t.Callable[..., str]:
            named.append((view.__name__, view.__module__))

            @wraps(view)
            def wrapper() -> str:
                return f"{mark}({view()})"

            return wrapper

        return decorator

    class Page(View):
        decorators: t.ClassVar = [wrap("in"), wrap("out")]

        def dispatch_request(self) -> str:
            return "x"

    view: t.Any = Page.as_view("page")
    assert named == [("page", __name__)] * 2
    assert view.view_class is Page
    app.add_url_rule("/", view_func=view)
    assert app.test_client().get("/").text == "out(in(x))"


@pytest.mark.usefixtures("protocol")
def test_another_class_put_on_the_view_is_used(app: Flask) -> None:
    """Debugging tools swap the class of a registered view."""

    class Page(View):
        decorators: t.ClassVar = [lambda view: wraps(view)(lambda: view())]

        def dispatch_request(self) -> str:
            return "page"

    class Other(View):
        def dispatch_request(self) -> str:
            return "other"

    view: t.Any = Page.as_view("page")
    app.add_url_rule("/", view_func=view)
    client = app.test_client()
    assert client.get("/").text == "page"
    view.view_class = Other
    assert client.get("/").text == "other"


def test_a_view_without_dispatch_request_is_not_implemented() -> None:
    with pytest.raises(NotImplementedError):
        View().dispatch_request()


def test_outside_of_an_app_the_message_says_so() -> None:
    view = View.as_view("x")
    with pytest.raises(RuntimeError, match="Working outside of application context"):
        view()


# async def, and apps that do something of their own about it


@pytest.mark.usefixtures("protocol")
def test_async_def_is_run_to_its_end(app: Flask) -> None:
    class Page(View):
        async def dispatch_request(self) -> str:  # type: ignore[override]
            return f"async {request.path}"

    class Methods(MethodView):
        async def get(self) -> str:
            return "async get"

        def post(self) -> str:
            return "post"

    app.add_url_rule("/", view_func=Page.as_view("page"))
    app.add_url_rule("/methods", view_func=Methods.as_view("methods"))
    client = app.test_client()
    assert [client.get("/").text for _ in range(2)] == ["async /"] * 2
    assert client.get("/methods").text == "async get"
    assert client.post("/methods").text == "post"


@pytest.mark.usefixtures("protocol")
def test_no_way_to_an_async_class_leads_past_a_decorator(app: Flask) -> None:
    """SECURITY: also where ``functools.wraps`` gives the decorator's function what the view has."""

    class Secret(MethodView):
        async def get(self) -> str:
            return "secret"

    def login_required(view: t.Any) -> t.Any:
        @wraps(view)
        def wrapper(**kwargs: t.Any) -> t.Any:
            if "token" not in request.args:
                abort(401)
            return view(**kwargs)

        return wrapper

    app.add_url_rule("/", view_func=login_required(Secret.as_view("secret")))
    client = app.test_client()
    assert client.get("/").status_code == 401
    assert client.get("/?token=1").text == "secret"


def refuse(*args: t.Any, **kwargs: t.Any) -> t.NoReturn:
    abort(401)


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("where", ["subclass", "instance", "MethodView"])
def test_a_replaced_dispatch_request_is_called(
    app: Flask, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """SECURITY: also of a class with async methods, which else are called by themselves."""

    class Secret(MethodView):
        def __init__(self) -> None:
            if where == "instance":
                self.dispatch_request = wraps(self.dispatch_request)(refuse)  # type: ignore[method-assign]

        async def get(self) -> str:
            return "secret"

    if where != "instance":
        cls: type[MethodView] = Secret if where == "subclass" else MethodView
        replaced = wraps(cls.dispatch_request)(lambda self, **kwargs: refuse())
        monkeypatch.setattr(cls, "dispatch_request", replaced)
    app.add_url_rule("/", view_func=Secret.as_view("secret"))
    assert app.test_client().get("/").status_code == 401


def test_an_app_with_its_own_ensure_sync_is_asked_each_time(app: Flask) -> None:
    asked = []

    class Asking(Flask):
        def ensure_sync(self, func: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
            if getattr(func, "__name__", "") == "dispatch_request":
                asked.append(func)
            return func

    class Page(View):
        def dispatch_request(self) -> str:
            return "x"

    view = Page.as_view("page")
    app.add_url_rule("/", view_func=view)
    assert app.test_client().get("/").text == "x"
    own = Asking(__name__)
    own.add_url_rule("/", view_func=view)
    client = own.test_client()
    assert [client.get("/").text for _ in range(3)] == ["x"] * 3
    assert len(asked) == 3


def test_a_wrapped_ensure_sync_is_asked_each_time(app: Flask) -> None:
    """Though ``functools.wraps`` gives it all that the app's own carries."""

    class Page(View):
        def dispatch_request(self) -> str:
            return "x"

    app.add_url_rule("/", view_func=Page.as_view("page"))
    client = app.test_client()
    assert client.get("/").text == "x"
    asked = []
    original = app.ensure_sync

    @wraps(original)
    def ensure_sync(func: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        asked.append(getattr(func, "__name__", ""))
        return original(func)

    app.ensure_sync = ensure_sync  # type: ignore[method-assign]
    assert [client.get("/").text for _ in range(3)] == ["x"] * 3
    assert asked.count("dispatch_request") == 3


@pytest.mark.usefixtures("protocol")
def test_a_method_that_becomes_async_later_is_seen(app: Flask) -> None:
    class Page(View):
        def dispatch_request(self) -> str:
            return "sync"

    async def later(self: View) -> str:
        return "async"

    app.add_url_rule("/", view_func=Page.as_view("page"))
    client = app.test_client()
    assert client.get("/").text == "sync"
    Page.dispatch_request = later  # type: ignore[method-assign,assignment]
    assert client.get("/").text == "async"


@pytest.mark.usefixtures("protocol")
def test_dispatch_request_may_be_set_on_the_instance(app: Flask) -> None:
    class Page(View):
        def __init__(self) -> None:
            self.dispatch_request = lambda: "own"  # type: ignore[method-assign]

    app.add_url_rule("/", view_func=Page.as_view("page"))
    client = app.test_client()
    assert [client.get("/").text for _ in range(2)] == ["own"] * 2


def test_a_warm_call_adds_one_python_call(app: Flask) -> None:
    class Page(View):
        def dispatch_request(self) -> str:
            return "x"

    view = Page.as_view("page")
    with app.app_context():
        view()
        with Calls() as called:
            view()
    assert [code.co_name for code in called] == ["view", "dispatch_request"]


# MethodView


@pytest.mark.usefixtures("protocol")
def test_each_method_is_answered_by_its_namesake(app: Flask) -> None:
    class Item(MethodView):
        def get(self, number: int) -> str:
            return f"get {number}"

        def delete(self, number: int) -> tuple[str, int]:
            return "", 204

    app.add_url_rule("/<int:number>", view_func=Item.as_view("item"))
    client = app.test_client()
    assert client.get("/7").text == "get 7"
    assert client.delete("/7").status_code == 204
    refused = client.post("/7")
    assert refused.status_code == 405
    assert sorted(refused.allow) == ["DELETE", "GET", "HEAD", "OPTIONS"]


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("own_head", [False, True])
def test_head_falls_to_get_unless_it_has_a_method(app: Flask, own_head: bool) -> None:
    class Page(MethodView):
        def get(self) -> ft.ResponseReturnValue:
            return "body", {"X-Answered": "get", "X-Method": request.method}

    class PageWithHead(Page):
        def head(self) -> ft.ResponseReturnValue:
            return "", {"X-Answered": "head"}

    app.add_url_rule("/", view_func=(PageWithHead if own_head else Page).as_view("page"))
    answer = app.test_client().head("/")
    assert answer.data == b""
    assert answer.headers["X-Answered"] == ("head" if own_head else "get")


@pytest.mark.usefixtures("protocol")
def test_a_method_named_but_not_written_is_an_error(app: Flask) -> None:
    class Page(MethodView):
        methods: t.ClassVar = ["GET"]

    app.add_url_rule("/", view_func=Page.as_view("page"))
    with pytest.raises(AssertionError, match=r"^Unimplemented method 'GET'$"):
        app.test_client().get("/")


@pytest.mark.usefixtures("protocol")
def test_a_method_of_another_name_can_be_declared(app: Flask) -> None:
    class Page(MethodView):
        methods: t.ClassVar = ["GET", "PROPFIND"]

        def propfind(self) -> str:
            return "found"

    app.add_url_rule("/", view_func=Page.as_view("page"))
    assert app.test_client().open("/", method="PROPFIND").text == "found"


@pytest.mark.usefixtures("protocol")
def test_options_are_answered_by_a_method_of_that_name(app: Flask) -> None:
    class Page(MethodView):
        provide_automatic_options = False

        def options(self) -> tuple[str, int, dict[str, str]]:
            return "", 204, {"Allow": "TEA"}

    app.add_url_rule("/", view_func=Page.as_view("page"))
    answer = app.test_client().options("/")
    assert (answer.status_code, answer.headers["Allow"]) == (204, "TEA")


def test_the_names_of_the_methods_are_flasks() -> None:
    assert http_method_funcs == flask.views.http_method_funcs


# A class of a family: the methods it writes, the methods it declares, and its bases' places.
names = st.sampled_from([*sorted(http_method_funcs), "propfind"])
declared = st.none() | st.lists(st.sampled_from(["GET", "POST", "TEA"]), max_size=2)
members = st.lists(
    st.tuples(st.frozensets(names, max_size=3), declared, st.booleans(), st.integers(0, 3)),
    min_size=1,
    max_size=5,
)


def family(
    base: type, plan: list[tuple[frozenset[str], list[str] | None, bool, int]]
) -> list[t.Any]:
    """The ``methods`` of each class made to the plan."""
    classes: list[type] = [base]
    for written, methods, removes, parent in plan:
        body: dict[str, t.Any] = {name: lambda self: "" for name in written}
        if methods is not None:
            body["methods"] = methods
        if removes:
            body["get"] = None
        classes.append(type("V", (classes[parent % len(classes)],), body))
    found = [vars(cls).get("methods") for cls in classes]
    return [set(methods) if methods is not None else None for methods in found]


@given(members)
def test_the_methods_of_a_family_of_classes_are_flasks(
    plan: list[tuple[frozenset[str], list[str] | None, bool, int]],
) -> None:
    assert family(MethodView, plan) == family(flask.views.MethodView, plan)


def test_methods_come_from_all_bases() -> None:
    class Reads(MethodView):
        def get(self) -> str:
            return "get"

    class Writes(MethodView):
        def put(self) -> str:
            return "put"

    class Both(Reads, Writes):
        pass

    class Mixin:
        def delete(self) -> str:
            return "delete"

    class All(Mixin, Both):
        pass

    assert Both.methods == {"GET", "PUT"}
    assert All.methods == {"GET", "PUT", "DELETE"}
    assert MethodView.methods is None


def test_a_subclass_may_take_keywords() -> None:
    class Labelled(View):
        label: t.ClassVar[str]

        def __init_subclass__(cls, label: str = "", **kwargs: t.Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.label = label

    class Page(MethodView, Labelled, label="x"):
        def get(self) -> str:
            return "get"

    assert (Page.label, Page.methods) == ("x", {"GET"})
