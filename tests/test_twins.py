"""Each async twin of a step is the step itself, up to ``await``: the syntax trees prove it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "torsyq"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def methods(module: str) -> dict[str, Function]:
    """The methods of a module's classes by ``Class.name``."""
    tree = ast.parse((ROOT / module).read_text())
    return {
        f"{cls.name}.{node.name}": node
        for cls in tree.body
        if isinstance(cls, ast.ClassDef)
        for node in cls.body
        if isinstance(node, Function)
    }


def pairs() -> list[tuple[str, str]]:
    """Every module and method that has a twin."""
    return [
        (module, name.removesuffix("_async"))
        for module in ("walk.py", "ctx_app.py", "ctx.py", "lifespan.py")
        for name in methods(module)
        if name.endswith("_async") and name.removesuffix("_async") in methods(module)
    ]


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
        assert isinstance(call.func, ast.Attribute), ast.unparse(node)
        assert call.func.attr.endswith("_async"), ast.unparse(node)
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
    return ast.unparse(node.func) in ("self._call", "self._ask", "app._call", "_called")


class Plain(ast.NodeTransformer):
    """Take from a step what the twin does not need."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        func = node.func
        if isinstance(func, ast.IfExp) and ast.unparse(func.test) == "sync":
            func = func.orelse
        if isinstance(func, ast.Call) and ast.unparse(func.func) == "self.ensure_sync":
            node.func = func.args[0]
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        """Whether hooks are sync is for the step alone to know."""
        self.generic_visit(node)
        return None if ast.unparse(node.targets[0]) == "sync" else node


# What a twin does otherwise, as (the step's text, the twin's text), each with the reason.
DIFFERENCES = {
    # The request was matched to decide on the walk.
    "Walk.wsgi_app": [("ctx = self.request_context(environ)\n", "")],
    # Of a step with nothing to do no coroutine is made.
    "Walk.full_dispatch_request": [
        (
            "rv = self.preprocess_request()\n",
            "rv = None\n"
            "    if self.before_request_funcs or self.url_value_preprocessors:\n"
            "        rv = self.preprocess_request()\n",
        ),
    ],
    "Walk.finalize_request": [
        (
            "response = self.process_response(response)\n",
            "ctx = _current_request_context()\n"
            "    if (ctx._after_request_functions or self.after_request_funcs"
            " or ctx._session_is_open or 'HTTP_COOKIE' in ctx.request.environ):\n"
            "        response = self.process_response(response)\n",
        ),
    ],
    "RequestContext.pop": [
        (
            "app.do_teardown_request(exc)\n",
            "if app.teardown_request_funcs or request_tearing_down.receivers:\n"
            "                app.do_teardown_request(exc)\n",
        ),
    ],
    "RequestContext.push": [
        # The request was matched to decide on the walk.
        (
            "if self._has_plain_url or self.url_adapter is not None:",
            "if self.request.routing_exception is None and self.request.url_rule is None:",
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
            "    self._known.async_views[endpoint] = view\n",
        ),
    ],
    # On the loop the client's leaving ends what is awaited, and not what comes after it.
    "Walk.do_teardown_request": [("clean_up()\n", "")],
    "Walk.do_teardown_appcontext": [("clean_up()\n", "")],
}


def text(function: Function, transformer: ast.NodeTransformer) -> str:
    """A function's statements without its docstring."""
    body = [transformer.visit(statement) for statement in function.body[1:]]
    return "\n".join(ast.unparse(ast.fix_missing_locations(node)) for node in body) + "\n"


@pytest.mark.parametrize(("module", "name"), pairs(), ids=lambda value: value)
def test_a_twin_is_its_step_up_to_await(module: str, name: str) -> None:
    step = methods(module)[name]
    twin = methods(module)[f"{name}_async"]
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
    steps = {name for name, node in methods("walk.py").items() if "stock" in decorators(node)}
    twins = {name for module, name in pairs() if module == "walk.py"}
    assert steps - twins == set()


def decorators(function: Function) -> set[str]:
    return {ast.unparse(node) for node in function.decorator_list}


@pytest.mark.parametrize(("module", "name"), pairs(), ids=lambda value: value)
def test_a_twin_takes_what_its_step_takes(module: str, name: str) -> None:
    step = methods(module)[name].args
    twin = methods(module)[f"{name}_async"].args
    extra = {"Walk.wsgi_app": ["ctx"]}.get(name, [])
    assert [arg.arg for arg in twin.args if arg.arg not in extra] == [a.arg for a in step.args]
    assert [*map(ast.unparse, twin.defaults)] == [*map(ast.unparse, step.defaults)]
