"""What the doctor sees in an app's map, its views and its templates."""

from __future__ import annotations

import difflib
import inspect
import itertools
import sys
import types
import typing as t

from jinja2 import nodes
from jinja2 import TemplateError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from ._doctor_finding import Finding

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator

    from werkzeug.routing import Rule

    from ..app import Flask

# Values that a converter may be given, chosen so that few other rules would take them too.
_WORDS = ("qzx", "Qz", "q", "qzxqzxqz")
SAMPLES: dict[str, tuple[t.Any, ...]] = {
    "UnicodeConverter": _WORDS,
    "PathConverter": ("qzx/qz/x", "qzx"),
    "IntegerConverter": (7319, 31, 7, 1),
    "FloatConverter": (7319.25, 1.5),
    "UUIDConverter": ("6f1e4b0c-3f52-4b7e-9a35-0d3a0a2d8c11",),
}
MOST_PATHS = 12
_METHODS = (types.FunctionType, staticmethod, classmethod)
# Annotations may name what is imported for type checkers only: Python 3.14 fails to evaluate those.
_UNREAD: dict[str, t.Any] = {}
if sys.version_info >= (3, 14):
    import annotationlib

    _UNREAD["annotation_format"] = annotationlib.Format.STRING
# What a template is that is text, by the end of its name.
TEXTS = {"css", "htm", "html", "j2", "jinja", "jinja2", "js", "md", "svg", "txt", "xhtml", "xml"}


def about_routes(app: Flask) -> list[Finding]:
    """Rules that no request reaches, and views that do not fit their rules."""
    findings: list[Finding] = []
    for rule in app.url_map.iter_rules():
        if rule.alias or rule.build_only or rule.redirect_to is not None or rule.websocket:
            continue
        findings += _about_reach(app, rule)
        findings += _about_view(app, rule)
    return findings


# -- rules that another rule hides ---------------------------------------------------------------


def _about_reach(app: Flask, rule: Rule) -> Iterator[Finding]:
    paths = list(itertools.islice(sample_paths(app, rule), MOST_PATHS))
    methods = sorted((rule.methods or {"GET"}) - {"OPTIONS", "HEAD"})
    for method in methods:
        winners = [_winner(app, rule, path, method) for path in paths]
        if not winners or any(winner is None or winner is rule for winner in winners):
            continue
        winner = t.cast("Rule", winners[0])
        kind = "is a duplicate of" if winner.rule == rule.rule else "is hidden by"
        text = f"{method} never reaches {rule.endpoint!r}: the rule {kind} {winner.rule!r}"
        remedy = "Remove one of them, or give them different paths or methods."
        yield Finding("problem", rule.rule, f"{text} ({winner.endpoint!r}).", remedy)


def sample_paths(app: Flask, rule: Rule) -> Iterator[str]:
    """Paths that *rule* matches; none when a converter of it is unknown."""
    if _adapter(app, rule) is None:
        return
    names = sorted(rule.arguments - set(rule.defaults or ()))
    for values in itertools.product(*(_samples(rule, name) for name in names)):
        arguments = dict(zip(names, values, strict=True)) | dict(rule.defaults or {})
        if built := rule.build(arguments, append_unknown=False):
            yield built[1]


def _samples(rule: Rule, name: str) -> tuple[t.Any, ...]:
    converter = rule._converters[name]
    if hasattr(converter, "items"):
        return tuple(sorted(converter.items))
    for kind in type(converter).__mro__:
        if kind.__name__ in SAMPLES and type(converter) is kind:
            return SAMPLES[kind.__name__]
    return ()


def _adapter(app: Flask, rule: Rule) -> t.Any:
    place = rule.host if app.url_map.host_matching else rule.subdomain
    if place and "<" in place:
        return None
    if app.url_map.host_matching:
        return app.url_map.bind(place or "localhost")
    return app.url_map.bind("localhost", subdomain=place or "")


def _winner(app: Flask, rule: Rule, path: str, method: str) -> Rule | None:
    """The rule that takes the request instead; the rule itself if it does; None if nobody knows."""
    try:
        winner, values = _adapter(app, rule).match(path, method, return_rule=True)
    except (HTTPException, RequestRedirect):
        return None
    return t.cast("Rule", winner)


# -- views that do not fit ----------------------------------------------------------------------


def _about_view(app: Flask, rule: Rule) -> Iterator[Finding]:
    view = app.view_functions.get(rule.endpoint)
    if view is None:
        text = f"The endpoint {rule.endpoint!r} has no view."
        yield Finding("problem", rule.rule, text, "Register one: @app.endpoint(...).")
        return
    given = set(rule.arguments) | set(rule.defaults or ())
    for name, function in _functions(view, rule):
        yield from _about_arguments(app, rule, name, function, given)


def _functions(view: t.Any, rule: Rule) -> Iterator[tuple[str, Callable[..., t.Any]]]:
    """The functions that take the rule's arguments: the view, or its class's method for each verb."""
    view_class = getattr(view, "view_class", None)
    if view_class is None:
        yield rule.endpoint, view
        return
    verbs = [verb.lower() for verb in sorted(rule.methods or ()) if verb != "OPTIONS"]
    own = [verb for verb in verbs if hasattr(view_class, verb)]
    for verb in own or ["dispatch_request"]:
        method = inspect.getattr_static(view_class, verb, None)
        if isinstance(method, _METHODS):
            # Bound, so that the first parameter is taken where it is the view itself. The class
            # stands for one, which need not be easy to make.
            method = method.__get__(view_class, view_class)
        if callable(method):
            yield f"{view_class.__name__}.{verb}", method


def _about_arguments(
    app: Flask, rule: Rule, name: str, function: Callable[..., t.Any], given: set[str]
) -> Iterator[Finding]:
    signature = _signature(function)
    if signature is None:
        return
    # A decorator may hand arguments in and take them out: what it wraps says nothing certain.
    level: t.Literal["hint", "problem"] = "hint" if _may_change(app, function) else "problem"
    parameters = signature.parameters.values()
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    needed = {p.name for p in parameters if p.name in named and p.default is p.empty}
    for missing in sorted(needed - given):
        text = f"{name}() wants {missing!r}, which the rule does not give."
        yield Finding(
            level, rule.rule, text, f"Write <{missing}> into the rule, or give a default."
        )
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    for extra in sorted(given - named):
        text = f"the rule gives {extra!r}, which {name}() does not take."
        yield Finding(level, rule.rule, text, f"Add a parameter {extra!r} to the view.")


def _signature(function: Callable[..., t.Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function, follow_wrapped=False, **_UNREAD)
    except (TypeError, ValueError):
        return None


def _may_change(app: Flask, function: Callable[..., t.Any]) -> bool:
    return hasattr(function, "__wrapped__") or bool(app.url_value_preprocessors)


# -- templates -----------------------------------------------------------------------------------


def about_templates(app: Flask) -> list[Finding]:
    """``url_for`` in templates to endpoints that are not there, and templates that do not parse."""
    findings: list[Finding] = []
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    environment = app.jinja_env
    loader = environment.loader
    for name in _names(app):
        assert loader is not None
        try:
            source, _file, _uptodate = loader.get_source(environment, name)
            tree = environment.parse(source, name)
        except UnicodeDecodeError:
            continue
        except TemplateError as error:
            text = f"{error.message} (line {getattr(error, 'lineno', '?')})."
            findings.append(Finding("problem", name, text))
            continue
        findings += _about_template(app, name, tree, endpoints)
    return findings


def _names(app: Flask) -> list[str]:
    try:
        names = app.jinja_env.list_templates()
    except TypeError:
        # A loader that cannot list: nothing can be said about its templates.
        return []
    return sorted(name for name in names if "." not in name or name.rpartition(".")[2] in TEXTS)


def _about_template(
    app: Flask, name: str, tree: nodes.Template, endpoints: set[str]
) -> Iterator[Finding]:
    level: t.Literal["hint", "problem"] = "hint" if app.url_build_error_handlers else "problem"
    for call in tree.find_all(nodes.Call):
        endpoint = _endpoint(call)
        if endpoint is None or _exists(endpoint, endpoints):
            continue
        near = difflib.get_close_matches(endpoint, sorted(endpoints), 1)
        remedy = f"Did you mean {near[0]!r}?" if near else "Is its blueprint registered?"
        text = f"line {call.lineno} builds a URL to {endpoint!r}, which is no endpoint of the app."
        yield Finding(level, name, text, remedy)


def _endpoint(call: nodes.Call) -> str | None:
    if not (isinstance(call.node, nodes.Name) and call.node.name == "url_for" and call.args):
        return None
    first = call.args[0]
    return first.value if isinstance(first, nodes.Const) and isinstance(first.value, str) else None


def _exists(endpoint: str, endpoints: set[str]) -> bool:
    if endpoint.startswith("."):
        # Relative to the blueprint of whatever request renders it: any will do.
        return any(("." + known).endswith(endpoint) for known in endpoints)
    return endpoint in endpoints
