"""Each async twin of a step is the step itself, up to ``await``: the syntax trees prove it."""

from __future__ import annotations

import ast
import typing as t
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "torsyq"
TEMPLATING = "templating_async.py"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def functions(module: str) -> dict[str, Function]:
    """The functions of a module by name, and its classes' methods by ``Class.name``."""
    tree = ast.parse((ROOT / module).read_text())
    scopes = [("", tree.body)]
    scopes += [(f"{node.name}.", node.body) for node in tree.body if isinstance(node, ast.ClassDef)]
    return {
        prefix + node.name: node
        for prefix, body in scopes
        for node in body
        if isinstance(node, Function)
    }


def pairs() -> t.Iterator[tuple[str, Function, Function]]:
    """Every step that has a twin: its name, itself and the twin."""
    modules = ("walk.py", "ctx_app.py", "ctx.py", "ctx_websocket.py", "lifespan.py", "amid.py")
    for module, twins in (*zip(modules, modules, strict=True), ("templating.py", TEMPLATING)):
        for name, twin in functions(twins).items():
            step = functions(module).get(name.removesuffix("_async"))
            if step is not None and step is not twin:
                yield name.removesuffix("_async"), step, twin
    name = "Flask.update_template_context"
    yield name, functions("app.py")[name], functions(TEMPLATING)["_update_context"]


class Sync(ast.NodeTransformer):
    """Take from an async twin what makes it one."""

    def visit_Await(self, node: ast.Await) -> ast.AST:
        assert isinstance(node.value, ast.Call), ast.unparse(node)
        is_called = _is_call(node.value)
        call: ast.Call = self.visit(node.value)
        if is_called:
            return call
        if ast.unparse(call.func) == "asyncio.shield":
            waits = "without_request().run(run_coroutine(self.startup))"
            return ast.parse(waits, mode="eval").body
        # Some have the same name on either side.
        if isinstance(call.func, ast.Attribute):
            call.func.attr = call.func.attr.removesuffix("_async")
        for keyword in call.keywords:
            if keyword.arg == "_sync_wrapper":
                keyword.arg = "_async_wrapper"
                assert isinstance(keyword.value, ast.Attribute)
                keyword.value.attr = "ensure_sync"
        return call

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """``self._call(f, x)`` is ``self.ensure_sync(f)(x)``, or ``f(x)`` of a plain one.

        It is awaited, or a twin that is no ``async def`` itself returns it.
        """
        self.generic_visit(node)
        if _is_call(node):
            node.func, *node.args = node.args
        return node


def _is_call(node: ast.Call) -> bool:
    return ast.unparse(node.func) in (
        "self._call",
        "self._call_to_clean_up",
        "self._ask",
        "app._call",
        "_called",
    )


class Plain(ast.NodeTransformer):
    """Take from a step what the twin does not need."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        func = node.func
        if isinstance(func, ast.IfExp) and ast.unparse(func.test) == "sync":
            func = func.orelse
        if isinstance(func, ast.Call) and ast.unparse(func.func).endswith(".ensure_sync"):
            node.func = func.args[0]
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        """Whether hooks are sync is for the step alone to know."""
        self.generic_visit(node)
        return None if ast.unparse(node.targets[0]) == "sync" else node


# What a twin does otherwise, as (the step's text, the twin's text), each with the reason.
DIFFERENCES = {
    # Of a step with nothing to do no coroutine is made.
    "Walk.full_dispatch_request": [
        (
            "rv = self.preprocess_request()\n",
            "rv = None\n"
            "    if self.before_request_funcs or self.url_value_preprocessors:\n"
            "        rv = self.preprocess_request()\n",
        ),
        (
            "return self.finalize_request(rv)\n",
            "response = self.make_response(rv)\n"
            "    ctx = _current_request_context()\n"
            "    if (ctx._after_request_functions or self.after_request_funcs"
            " or ctx._session_is_open or 'HTTP_COOKIE' in ctx.request._environ"
            " or request_finished.receivers):\n"
            "        response = self.finalize_request(response)\n"
            "    return response\n",
        ),
    ],
    # So the response is there already.
    "Walk.finalize_request": [("response = self.make_response(rv)\n", "")],
    "RequestContext.pop": [
        (
            "app.do_teardown_request(exc)\n",
            "if app.teardown_request_funcs or request_tearing_down.receivers:\n"
            "                app.do_teardown_request(exc)\n",
        ),
    ],
    "RequestContext.push": [
        # What goes without an application context of its own does not come here.
        (
            "if _pushed_app_context(None) is None and _current_request_context(None) is None and"
            " (not self._has_app_ctx) and (self._pushes is None) and app._known.plain_contexts and"
            " (not appcontext_pushed.receivers):\n"
            "    app_ctx = _unseen\n"
            "else:\n"
            "    app_ctx = self._app_ctx_to_push()\n"
            "    if app_ctx is not None:\n"
            "        app_ctx.push()\n",
            "app_ctx = self._app_ctx_to_push()\nif app_ctx is not None:\n    app_ctx.push()\n",
        ),
        # The request was matched to decide on the walk.
        (
            "if self._has_plain_url or self.url_adapter is not None:",
            "if self.request.routing_exception is None and self.request.url_rule is None:",
        ),
    ],
    # A thread's StopIteration comes carried, since no coroutine can raise it.
    "Walk.wsgi_app": [
        # The request was matched to decide on the walk.
        ("ctx = self.request_context(environ)\n", ""),
        ("error = exc\n        response", "error = exc = raised(exc)\n        response"),
        # No coroutine of a push or a pop that waits for nothing.
        ("ctx.push()\n", "if not ctx._push_at_once():\n            ctx.push()\n"),
        ("ctx.pop(error)\n", "if not ctx._pop_at_once():\n            ctx.pop(error)\n"),
        # What it came to is made into ASGI's messages.
        (
            "if type(response) is Response:\n"
            "            return response.__call__(environ, start_response)\n"
            "        return response(environ, start_response)\n",
            "return answer.take(response, ctx.request)\n",
        ),
        ("return response(environ, start_response)", "return answer.take(response, ctx.request)"),
    ],
    "Walk.handle_user_exception": [
        ("if isinstance(e, HTTPException):", "e = raised(e)\nif isinstance(e, HTTPException):"),
    ],
    "Walk.handle_exception": [
        ("self.log_exception(exc_info)", "self.log_exception((type(e), e, e.__traceback__))"),
        (
            "return self.finalize_request(error, ",
            "response = self.make_response(error)\nreturn self.finalize_request(response, ",
        ),
    ],
    # A sync view is remembered as such, and an async one; _call runs the other in a thread.
    "Walk.dispatch_request": [
        (
            "if self._known.sync_views.get(endpoint) is not view:\n"
            "    sync_view = self.ensure_sync(view)\n"
            "    if sync_view is view and is_stock(self.ensure_sync):\n"
            "        self._known.sync_views[endpoint] = view\n"
            "    view = sync_view\n",
            "if self._known.async_views.get(endpoint) is not view:\n"
            "    if not is_async(view):\n"
            "        return view(**request.view_args)\n"
            "    self._known.async_views[endpoint] = view\n"
            "ctx._is_new = False\n",
        ),
        # Plain functions that come after an async view wait for no place.
        (
            "request = _current_request_context().request\n",
            "ctx = _current_request_context()\nrequest = ctx.request\n",
        ),
    ],
    # On the loop the client's leaving ends what is awaited, and not what comes after it.
    "Walk.do_teardown_request": [("clean_up()\n", "")],
    "Walk.do_teardown_appcontext": [("clean_up()\n", "")],
    # Templates that may await are another environment's.
    **{
        f"{verb}_template{kind}": [("app.jinja_env.", "_environment(app).")]
        for verb in ("render", "stream")
        for kind in ("", "_string")
    },
    # Flask knows no async form of this, and a subclass may have one of its own of the sync one.
    "Flask.update_template_context": [
        (
            "passed = ",
            "if not is_stock(app.update_template_context):\n"
            "    return app.update_template_context(context)\n"
            "passed = ",
        ),
        ("self.", "app."),
    ],
    "_render": [("app.update_template_context(context)", "_update_context(app, context)")],
    "_stream": [
        ("app.update_template_context(context)", "_update_context(app, context)"),
        ("def generate() -> t.Iterator[str]", "async def generate() -> t.AsyncIterator[str]"),
        # An async generator can't "yield from" another.
        (
            "yield from template.generate(context)\n",
            "async for text in template.generate_async(context):\n            yield text\n",
        ),
    ],
}


def text(function: Function, transformer: ast.NodeTransformer) -> str:
    """A function's statements without its docstring."""
    statements = deepcopy(function.body)[ast.get_docstring(function) is not None :]
    body = [transformer.visit(statement) for statement in statements]
    return ast.unparse(ast.fix_missing_locations(ast.Module(body, []))) + "\n"


each_pair = pytest.mark.parametrize(
    ("name", "step", "twin"), [pytest.param(*pair, id=pair[0]) for pair in pairs()]
)


@each_pair
def test_a_twin_is_its_step_up_to_await(name: str, step: Function, twin: Function) -> None:
    assert isinstance(step, ast.FunctionDef)
    # One that is not async itself returns what is awaited: mypy holds it to that.
    assert isinstance(twin, ast.AsyncFunctionDef) or twin.name == "dispatch_request_async"
    expected = text(step, ast.NodeTransformer())
    for before, after in DIFFERENCES.get(name, []):
        assert before in expected, f"no longer in the step: {before}"
        expected = expected.replace(before, after)
    expected = text_of(expected)
    assert text(twin, Sync()) == expected


def text_of(source: str) -> str:
    tree = Plain().visit(ast.parse(source))
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def test_every_step_of_the_walk_has_a_twin() -> None:
    steps = {name for name, node in functions("walk.py").items() if "stock" in decorators(node)}
    assert steps <= {name for name, _, _ in pairs()}


def decorators(function: Function) -> set[str]:
    return {ast.unparse(node) for node in function.decorator_list}


def test_every_async_function_for_templates_is_a_twin() -> None:
    twins = {twin.name for _, _, twin in pairs()}
    for name, function in functions(TEMPLATING).items():
        assert name in twins or isinstance(function, ast.FunctionDef)


@each_pair
def test_a_twin_takes_what_its_step_takes(name: str, step: Function, twin: Function) -> None:
    extra = {"Walk.wsgi_app": ["ctx"], "Flask.update_template_context": ["app"]}.get(name, [])
    renamed = {
        "Walk.finalize_request": {"rv": "response"},
        "Walk.wsgi_app": {"start_response": "answer"},
    }.get(name, {})
    expected = [renamed.get(arg, arg) for arg in parameters(step)]
    assert [arg for arg in parameters(twin) if arg not in extra] == expected
    assert [*map(ast.unparse, twin.args.defaults)] == [*map(ast.unparse, step.args.defaults)]


def parameters(function: Function) -> list[str]:
    """The names of a function's parameters, but for a method's first."""
    args = function.args
    given = [*args.posonlyargs, *args.args, args.vararg, args.kwarg]
    return [arg.arg for arg in given if arg is not None and arg.arg != "self"]
