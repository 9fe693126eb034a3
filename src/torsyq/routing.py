"""URL rules to views and back, as :mod:`werkzeug.routing` does it, prepared once.

The rules in a :class:`Map` are Werkzeug's, and its matcher and builder are the specification.
Beside them the map keeps a *plan*, made at first need and thrown away when the map changes:

* a dict of the paths that are static, and a tree of the rest (:mod:`torsyq.routing_tree`), which
  answer :meth:`Map.lookup`;
* for each endpoint the pieces of its URL (:mod:`torsyq.routing_build`), which answer
  :meth:`MapAdapter.build`.

What the plan does not plainly answer (redirects, slashes to merge, hosts and subdomains,
WebSockets, rules whose class overrides something) goes to Werkzeug. ``print(map.describe())``
shows the plan.
"""

from __future__ import annotations

import re
import typing as t
import warnings
from itertools import chain
from itertools import takewhile
from operator import methodcaller
from threading import RLock

from werkzeug.exceptions import MethodNotAllowed
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map as WerkzeugMap
from werkzeug.routing import MapAdapter as WerkzeugMapAdapter
from werkzeug.routing import Rule
from werkzeug.routing import RuleFactory
from werkzeug.routing import ValidationError
from werkzeug.routing.converters import DEFAULT_CONVERTERS
from werkzeug.routing.matcher import State
from werkzeug.routing.matcher import StateMachineMatcher
from werkzeug.wsgi import get_host

from .lazy import lazy
from .routing_build import BuiltLate
from .routing_build import OddValues
from .routing_build import Recipe
from .routing_build import recipes_for
from .routing_linear import LinearMatcher
from .routing_tree import AskWerkzeug
from .routing_tree import compile_tree
from .routing_tree import describe
from .routing_tree import Ending
from .routing_tree import endings
from .routing_tree import find
from .routing_tree import Node
from .routing_tree import static_paths

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.routing import BaseConverter
    from werkzeug.wrappers import Request

#: Hosts that the IDNA codec passes unchanged, with their port.
_PLAIN_HOST = re.compile(
    r"(?:(?:[a-z0-9-]{1,63}\.)*[a-z0-9-]{0,63}|\[[0-9a-f:]{2,39}\])(?::[0-9]{1,5})?",
    re.ASCII | re.IGNORECASE,
)
#: How many of them a map remembers, and how long ones: of 253 characters and a port.
_HOSTS_KEPT = 256
_LENGTH_KEPT = 259
_HTTP = frozenset({"http", "https"})
_WERKZEUGS = frozenset(DEFAULT_CONVERTERS.values())
_building_order = methodcaller("build_compare_key")
_STANDARD_PORTS = {"http": ":80", "ws": ":80", "https": ":443", "wss": ":443"}
#: Where the warnings module notes what it has shown.
_warned: dict[t.Any, t.Any] = {}
#: A subclass of :class:`Map` that overrides one of these matches in its own way.
_MATCHING = ("bind", "bind_to_environ", "update")
#: The attributes whose change makes a plan stale. ``_remap`` turns true when a rule is added.
_PLANNED = frozenset(
    {"_matcher", "default_subdomain", "host_matching", "merge_slashes", "redirect_defaults"}
)


class Plan:
    """What a map has prepared. Made by the map, never changed but for the recipes filled in."""

    __slots__ = ("endings", "has_own_converters", "merge_slashes", "recipes", "static", "tree")

    def __init__(self, url_map: Map) -> None:
        self.merge_slashes = url_map.merge_slashes
        #: The tree below the slash every path begins with; None: Werkzeug answers everything.
        self.tree: Node | None = None
        #: The rules of each static path by method, by the path as the server sends it.
        self.static: dict[str, dict[str, Rule]] = {}
        #: What may end a static path in one more segment.
        self.endings: dict[str, tuple[Node, tuple[Ending, ...]]] = {}
        #: How to build the URLs of an endpoint, filled in at first need.
        self.recipes: dict[t.Any, tuple[Recipe, ...]] = {}
        #: Whether a converter is not Werkzeug's, which look at nothing but their part of the path.
        self.has_own_converters = not _WERKZEUGS.issuperset(
            type(converter)
            for rules in url_map._rules_by_endpoint.values()
            for rule in rules
            for converter in rule._converters.values()
        )
        domain = url_map._plain_domain()
        if domain is not None:
            self.tree = compile_tree(domain.static.get("") or State(), url_map._rivals)
            self.static = dict(static_paths(self.tree))
            self.endings = dict(endings(self.tree))

    def add_recipes(self, endpoint: t.Any, rules: t.Sequence[Rule]) -> tuple[Recipe, ...]:
        """Prepare an endpoint's recipes; an unknown endpoint leaves nothing behind."""
        recipes = recipes_for(rules)
        if rules:
            self.recipes[endpoint] = recipes
        return recipes


class Map(WerkzeugMap):
    """Werkzeug's map of URL rules, with a plan for what is asked on every request.

    Takes Werkzeug's parameters. ``app.url_map`` is one::

        url_map = Map([Rule("/user/<int:id>", endpoint="user")])
        rule, arguments = url_map.lookup(environ)
    """

    def __init__(
        self,
        rules: t.Iterable[RuleFactory] | None = None,
        default_subdomain: str = "",
        strict_slashes: bool = True,
        merge_slashes: bool = True,
        redirect_defaults: bool = True,
        converters: t.Mapping[str, type[BaseConverter]] | None = None,
        sort_parameters: bool = False,
        sort_key: t.Callable[[t.Any], t.Any] | None = None,
        host_matching: bool = False,
    ) -> None:
        # Held while rules are added or sorted, and while a plan is made of them. Whoever matches
        # or builds by a plan that is there needs none.
        self._changing = RLock()
        # Counts the changes, so that a plan made meanwhile is not kept.
        self._changes = 0
        self._plan: Plan | None = None
        self._plain_hosts: set[str] = set()
        super().__init__(
            None,
            default_subdomain,
            strict_slashes,
            merge_slashes,
            redirect_defaults,
            converters,
            sort_parameters,
            sort_key,
            host_matching,
        )
        self._matcher = LinearMatcher(merge_slashes)
        for rule in rules or ():
            self.add(rule)

    def __setattr__(self, name: str, value: t.Any) -> None:
        """Set an attribute, and throw the plan away if it was made from the attribute."""
        super().__setattr__(name, value)
        if name in _PLANNED or (name == "_remap" and value):
            with self._changing:
                self._changes += 1
                self._plan = None

    def add(self, rulefactory: RuleFactory) -> None:
        """Add a rule, or several; also while other threads match, which then find all or none.

        :param rulefactory: as Werkzeug's takes it.
        """
        with self._changing:
            super().add(BuiltLate(rulefactory))

    def update(self) -> None:
        """Sort the rules if some were added; done before matching and building.

        Whoever is going through a list of rules goes on with that: sorted ones take its place.
        """
        if not self._remap:
            return
        with self._changing:
            if self._remap:
                self._matcher.update()
                for endpoint, rules in self._rules_by_endpoint.items():
                    self._rules_by_endpoint[endpoint] = sorted(rules, key=_building_order)
                self._remap = False

    def iter_rules(self, endpoint: t.Any | None = None) -> t.Iterator[Rule]:
        """Iterate over all rules that are there now, or those of an endpoint."""
        self.update()
        if endpoint is not None:
            return iter(self._rules_by_endpoint[endpoint])
        return chain.from_iterable([*self._rules_by_endpoint.values()])

    def lookup(self, environ: WSGIEnvironment) -> tuple[Rule, dict[str, t.Any]] | None:
        """Tell the rule and the view arguments that a request's path and method plainly match.

        It matches under :attr:`default_subdomain`, whatever the host. The dict is new each time::

            found = url_map.lookup(environ)
            if found is None:
                found = url_map.bind_to_environ(environ, subdomain="").match(return_rule=True)

        :return: None where only Werkzeug's adapter can tell: redirects, slashes to merge,
            WebSockets, odd hosts, host matching.
        :raises NotFound: No rule has this path.
        :raises MethodNotAllowed: Rules have this path, but none the method.

        PERF: 0.35 us for a static path and 0.8 us for ``/user/<int:id>``, in one call, 2 us for
        others; Werkzeug binds an adapter and matches in 7 to 12 us and 25 to 34 calls.
        """
        plan = self._plan or self._make_plan()
        host = environ.get("HTTP_HOST")
        if host not in self._plain_hosts and not self._is_plain_host(environ):
            return None
        if environ["wsgi.url_scheme"] not in _HTTP or "HTTP_UPGRADE" in environ:
            return None
        raw: str = environ.get("PATH_INFO", "/")
        method: str = environ["REQUEST_METHOD"]
        if (by_method := plan.static.get(raw)) is not None:
            static = by_method.get(method)
            if static is not None:
                return static, {}
        head, _, tail = raw.rpartition("/")
        if (found := plan.endings.get(head)) is not None and tail.isascii():
            node, endings = found
            try:
                for test, rule, name, to_python in endings if tail not in node.static else ():
                    if test(tail):
                        if rule.methods is None or method in rule.methods:
                            return rule, {name: to_python(tail)}
                        break
            except ValueError:
                pass  # more digits than int takes: left to Werkzeug below
        return self._search(plan, raw, method.upper())

    def _search(self, plan: Plan, raw: str, method: str) -> tuple[Rule, dict[str, t.Any]] | None:
        """Look a path up in the plan's tree; the rest of :meth:`lookup`."""
        if plan.tree is None or not raw:
            return None
        missed: list[Rule] = []
        try:
            path = raw.lstrip("/") if raw.isascii() else _decoded(raw).lstrip("/")
            found = find(plan.tree, path.split("/"), 0, (), method, missed)
            if found is not None:
                leaf, values = found
                arguments: dict[str, t.Any] = dict(zip(leaf.names, values))  # noqa: B905
                for name, to_python in leaf.converts:
                    arguments[name] = to_python(arguments[name])
                if leaf.rule.defaults:
                    arguments.update(leaf.rule.defaults)
                for rival in leaf.rivals:
                    if rival.suitable_for(arguments, method):
                        return None
                return None if leaf.redirects else (leaf.rule, arguments)
        except ValidationError:
            pass
        except (AskWerkzeug, ValueError):
            return None
        else:
            if plan.merge_slashes:
                if "//" in path:
                    return None
                # COMPAT: Werkzeug walks once more then, and the order of the methods in the
                # Allow header, a set's, shows that it added them twice.
                missed *= 2
        _refuse(missed, method)
        return None

    def describe(self) -> str:
        """Show the plan: the tree in the order it is tried, and the short cuts to its leaves.

        A segment is shown as text or as the pattern it must match, ``=`` gives the endpoint.
        """
        plan = self._plan or self._make_plan()
        if plan.tree is None:
            return "Werkzeug matches every path."
        lines = [
            *describe(plan.tree),
            "found by the whole path: " + (", ".join(plan.static) or "none"),
            "found by all but the last segment: "
            + (", ".join(f"{head}/" for head in plan.endings) or "none"),
        ]
        return "\n".join(lines)

    def bind(
        self,
        server_name: str,
        script_name: str | None = None,
        subdomain: str | None = None,
        url_scheme: str = "http",
        default_method: str = "GET",
        path_info: str | None = None,
        query_args: t.Mapping[str, t.Any] | str | None = None,
    ) -> MapAdapter:
        """Make an adapter from the parts of a URL. Parameters and errors are Werkzeug's."""
        bound = super().bind(
            server_name, script_name, subdomain, url_scheme, default_method, path_info, query_args
        )
        return _adapter(vars(bound))

    def bind_to_environ(
        self,
        environ: WSGIEnvironment | Request,
        server_name: str | None = None,
        subdomain: str | None = None,
    ) -> MapAdapter:
        """Make an adapter from a WSGI environment or request. Parameters and errors are Werkzeug's.

        With a *subdomain* and a plain host nothing can go wrong, and the adapter reads the
        environment only when an attribute is read.
        """
        env = getattr(environ, "environ", environ)
        if (
            subdomain is not None
            and not self.host_matching
            and isinstance(env, dict)
            and env.get("wsgi.url_scheme") in _HTTP
            and "REQUEST_METHOD" in env
            and (env.get("HTTP_HOST") in self._plain_hosts or self._is_plain_host(env))
            and (server_name is None or self._remember_host(server_name))
        ):
            adapter = MapAdapter.__new__(MapAdapter)
            adapter.__dict__ = {
                "map": self,
                "subdomain": subdomain,
                "default_method": env["REQUEST_METHOD"],
                "_environ": env,
                "_name": server_name,
            }
            if not env.get("SCRIPT_NAME", "/"):
                adapter.script_name = "/"
            return adapter
        if subdomain is None and server_name and not self.host_matching and isinstance(env, dict):
            subdomain = _strange_host(env, server_name)
        adapter = _adapter(vars(super().bind_to_environ(environ, server_name, subdomain)))
        if isinstance(env, dict) and env["wsgi.url_scheme"] == "wss":
            # ASGI's word. With the header "Upgrade" beside it, Werkzeug makes "ws" of it.
            adapter.url_scheme = "wss"
        return adapter

    def _is_plain_host(self, environ: WSGIEnvironment) -> bool:
        """Whether binding to the request's host cannot fail."""
        host = environ.get("HTTP_HOST")
        return self._remember_host(environ.get("SERVER_NAME", "") if host is None else host)

    def _remember_host(self, host: str) -> bool:
        # SECURITY: a client can invent any number of hosts; the set must not grow with them.
        if len(host) > _LENGTH_KEPT or not _PLAIN_HOST.fullmatch(host):
            return False
        if len(self._plain_hosts) >= _HOSTS_KEPT:
            self._plain_hosts.clear()
        self._plain_hosts.add(host)
        return True

    def _make_plan(self) -> Plan:
        """Prepare, and keep it unless the map is changed by what is called meanwhile."""
        with self._changing:
            plan, changes = self._plan, self._changes
            if plan is None:
                self.update()
                plan = Plan(self)
                if changes == self._changes:
                    self._plan = plan
            return plan

    def _plain_domain(self) -> State | None:
        """Werkzeug's state for the default subdomain; None: the path alone doesn't decide."""
        kind = type(self)
        if (
            self.host_matching
            or any(getattr(kind, name) is not getattr(Map, name) for name in _MATCHING)
            or type(self._matcher).match is not StateMachineMatcher.match
        ):
            return None
        domain = self.default_subdomain or ""
        root = self._matcher._root
        try:
            if any(part.final or re.match(part.content, domain) for part, _ in root.dynamic):
                return None
        except Exception:
            return None  # A broken converter, which fails where Werkzeug meets it.
        state = root.static.get(domain) or State()
        return None if state.dynamic or state.rules or state.static.keys() - {""} else state

    def _rivals(self, rule: Rule) -> tuple[Rule, ...]:
        """The rules whose defaults may be what *rule* has matched: their URL is the canonical."""
        if not self.redirect_defaults:
            return ()
        rules = self._rules_by_endpoint.get(rule.endpoint)
        if rules is None:
            # COMPAT: endpoints are taken out by hand. Werkzeug then answers for this rule alone.
            return (rule,)
        before = takewhile(lambda other: other is not rule, rules)
        return tuple(other for other in before if other.provides_defaults_for(rule))


class MapAdapter(WerkzeugMapAdapter):
    """Werkzeug's adapter, which matches and builds URLs for one request; see :meth:`Map.bind`.

    Made from an environment it holds little else; the attributes (``server_name``,
    ``script_name``, ``url_scheme``, ``path_info``, ``query_args``, ``websocket``) are read from it
    when they are first needed.

    PERF: 0.55 us to make instead of 3.7.
    """

    map: Map
    _environ: WSGIEnvironment
    _name: str | None

    @lazy
    def url_scheme(self) -> str:
        """The scheme of the request; of a WebSocket's, ``ws`` or ``wss``."""
        return _scheme(self._environ)

    @lazy
    def script_name(self) -> str:
        """The path the app is mounted on, with a slash at its end."""
        text = self._environ.get("SCRIPT_NAME")
        name = "/" if text is None else _decoded(text)
        return name if name.endswith("/") else f"{name}/"

    @lazy
    def path_info(self) -> str:
        """The path below that."""
        text = self._environ.get("PATH_INFO")
        return "/" if text is None else _decoded(text)

    @lazy
    def query_args(self) -> t.Mapping[str, t.Any] | str | None:
        """The query string."""
        text = self._environ.get("QUERY_STRING")
        return None if text is None else _decoded(text)

    @lazy
    def server_name(self) -> str:
        """The host, or the name given, which is plain: the IDNA codec would leave it as it is."""
        if self._name is None:
            return get_host(self._environ).lower()
        port = ":443" if _scheme(self._environ) in {"https", "wss"} else ":80"
        return self._name.lower().removesuffix(port)

    @lazy
    def websocket(self) -> bool:
        """Whether the request asks for a WebSocket."""
        return self.url_scheme in {"ws", "wss"}

    def build(
        self,
        endpoint: t.Any,
        values: t.Mapping[str, t.Any] | None = None,
        method: str | None = None,
        force_external: bool = False,
        append_unknown: bool = True,
        url_scheme: str | None = None,
    ) -> str:
        """Build the URL of an endpoint. Parameters, results and errors are Werkzeug's::

            adapter.build("user", {"id": 7, "tab": "posts"})  # '/user/7?tab=posts'

        :raises werkzeug.routing.BuildError: No rule of the endpoint takes these values.

        PERF: 1 us for one ``int`` in the path, 2.1 us with two values in the query; Werkzeug takes
        1.8 and 7.2 us.
        """
        if values is None or type(values) is dict:
            url_map = self.map
            plan = url_map._plan or url_map._make_plan()
            recipes = plan.recipes.get(endpoint)
            if recipes is None:
                recipes = plan.add_recipes(endpoint, url_map._rules_by_endpoint.get(endpoint, ()))
            wanted = self.default_method if method is None else method
            for recipe in recipes:
                methods = recipe.rule.methods
                if methods is not None and wanted not in methods:
                    continue
                try:
                    path = recipe.path(values, append_unknown)
                except OddValues:
                    break
                if path is None:
                    continue
                if force_external or recipe.domain != self.subdomain:
                    return self._absolute(recipe.domain, path, url_scheme)
                return f"{self.script_name.rstrip('/')}/{path}"
        return super().build(endpoint, values, method, force_external, append_unknown, url_scheme)

    def allowed_methods(self, path_info: str | None = None) -> t.Iterable[str]:
        """The methods that the rules of the path take, as Werkzeug's adapter tells them.

        PERF: 5 us instead of 18 for a request's own path; each OPTIONS request asks.
        """
        url_map = self.map
        own = vars(self)
        if (
            path_info is None
            and "_environ" in own
            and not own.keys() & {"path_info", "websocket"}
            and self.subdomain == (url_map.default_subdomain or "")
        ):
            try:
                # No rule has this method, so an answer is a rule that takes any.
                if url_map.lookup({**self._environ, "REQUEST_METHOD": "--"}) is not None:
                    return []
            except MethodNotAllowed as error:
                return error.valid_methods or []
            except NotFound:
                return []
        return super().allowed_methods(path_info)

    def _absolute(self, domain: str, path: str, scheme: str | None) -> str:
        """A URL with its host, and with a scheme unless that is empty."""
        if scheme is None:
            scheme = self.url_scheme
        if scheme:
            scheme = "https:" if scheme in {"https", "wss"} else "http:"
        return f"{scheme}//{self.get_host(domain)}{self.script_name[:-1]}/{path}"


def _adapter(attributes: dict[str, t.Any]) -> MapAdapter:
    adapter = MapAdapter.__new__(MapAdapter)
    adapter.__dict__ = attributes
    return adapter


def _refuse(missed: list[Rule], method: str) -> None:
    """Refuse a path that only the rules *missed* have, unless one of them is for WebSockets."""
    allowed: set[str] = set()
    websocket = False
    for rule in missed:
        if rule.methods is not None and method not in rule.methods:
            allowed.update(rule.methods)
        else:
            websocket = True
    if allowed:
        raise MethodNotAllowed(valid_methods=list(allowed))
    if not websocket:
        raise NotFound


def _decoded(text: str) -> str:
    """A text of the environment: bytes disguised as Latin-1, read as UTF-8 (PEP 3333)."""
    return text.encode("latin1").decode(errors="replace")


def _scheme(environ: WSGIEnvironment) -> str:
    scheme: str = environ["wsgi.url_scheme"]
    if environ.get("HTTP_UPGRADE", "").lower() != "websocket":
        return scheme
    connection = environ.get("HTTP_CONNECTION", "").lower().split(",")
    if not any(token.strip(" \t") == "upgrade" for token in connection):
        return scheme
    return "wss" if scheme == "https" else "ws"


def _strange_host(environ: WSGIEnvironment, server_name: str) -> str | None:
    """Warn of a host that is not under *server_name*; the subdomain that no rule then matches.

    COMPAT: Werkzeug would warn in the same words, but for this module; filters that people wrote
    name ``flask.app``, where Flask's call to it stands.
    """
    host, name = get_host(environ).lower(), server_name.lower()
    name = name.removesuffix(_STANDARD_PORTS.get(environ["wsgi.url_scheme"], ""))
    if host == name or host.endswith("." + name):
        return None
    message = f"Current server name {host!r} doesn't match configured server name {name!r}"
    if len(_warned) > _HOSTS_KEPT:
        _warned.clear()
    warnings.warn_explicit(message, UserWarning, __file__, 1, "flask.app", _warned)
    return "<invalid>"
