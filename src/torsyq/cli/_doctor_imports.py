"""What an app and its extensions want of Flask and Werkzeug, read from their source."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.metadata
import json
import pathlib
import re
import sys
import typing as t

from ._doctor_finding import Finding

if t.TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator

PARITY = pathlib.Path(__file__).with_name("parity.json")

_MARKUPSAFE = "It is markupsafe's: from markupsafe import {name}."
_PROVIDER = "Flask 2.3 removed it: subclass flask.json.provider.DefaultJSONProvider."
_CONTEXT = "Flask 2.3 removed it: use flask.globals.{now}, or flask.g for a place to keep things."
_URLLIB = "Werkzeug 3.0 removed it: use urllib.parse.{now}."

#: Names that Flask or Werkzeug had once, and what replaced them. A module alone stands for all in it.
REMOVED: dict[str, str] = {
    "flask.Markup": _MARKUPSAFE.format(name="Markup"),
    "flask.escape": _MARKUPSAFE.format(name="escape"),
    "flask._request_ctx_stack": _CONTEXT.format(now="request_ctx"),
    "flask._app_ctx_stack": _CONTEXT.format(now="app_ctx"),
    "flask.globals._request_ctx_stack": _CONTEXT.format(now="request_ctx"),
    "flask.globals._app_ctx_stack": _CONTEXT.format(now="app_ctx"),
    "flask.json.JSONEncoder": _PROVIDER,
    "flask.json.JSONDecoder": _PROVIDER,
    "flask.json_available": "Flask 1.1 removed it: JSON is always available.",
    "flask.safe_join": "Flask 2.1 removed it: from werkzeug.utils import safe_join.",
    "flask.helpers.safe_join": "Flask 2.1 removed it: from werkzeug.utils import safe_join.",
    "flask.helpers.locked_cached_property": "Flask 2.3 removed it: use werkzeug.utils.cached_property.",
    "flask.helpers.total_seconds": "Flask 2.1 removed it: call total_seconds() of the timedelta.",
    "flask.signals.signals_available": "Flask 2.3 removed it: signals are always available.",
    "flask.scaffold": "Flask 2.3 moved it: flask.sansio.scaffold.",
    "flask._compat": "Flask 2.0 removed it with Python 2.",
    "flask.ext": "Flask 1.0 removed it: import the extension by its own name, flask_x for flask.ext.x.",
    "werkzeug.contrib": "Werkzeug 1.0 removed it: cachelib for the caches, werkzeug.middleware for the rest.",
    "werkzeug.secure_filename": "Werkzeug 1.0 moved it: from werkzeug.utils import secure_filename.",
    "werkzeug.FileStorage": "Werkzeug 1.0 moved it: from werkzeug.datastructures import FileStorage.",
    "werkzeug.cached_property": "Werkzeug 1.0 moved it: from werkzeug.utils import cached_property.",
    "werkzeug.security.safe_str_cmp": "Werkzeug 2.1 removed it: use hmac.compare_digest.",
    "werkzeug.urls.url_quote": _URLLIB.format(now="quote"),
    "werkzeug.urls.url_quote_plus": _URLLIB.format(now="quote_plus"),
    "werkzeug.urls.url_unquote": _URLLIB.format(now="unquote"),
    "werkzeug.urls.url_unquote_plus": _URLLIB.format(now="unquote_plus"),
    "werkzeug.urls.url_encode": _URLLIB.format(now="urlencode"),
    "werkzeug.urls.url_decode": _URLLIB.format(now="parse_qs"),
    "werkzeug.urls.url_parse": _URLLIB.format(now="urlsplit"),
    "werkzeug.urls.url_join": _URLLIB.format(now="urljoin"),
    "werkzeug.wrappers.BaseResponse": "Werkzeug 2.1 removed it: use werkzeug.wrappers.Response.",
    "werkzeug.wrappers.BaseRequest": "Werkzeug 2.1 removed it: use werkzeug.wrappers.Request.",
    "werkzeug.http.parse_authorization_header": "Werkzeug 2.3 removed it: Authorization.from_header.",
}

#: Attributes of the app or a blueprint that Flask removed; a name alone tells, whatever it hangs on.
REMOVED_ATTRIBUTES: dict[str, str] = {
    "before_first_request": "Flask 2.3 removed it: run the code when the app is made.",
    "before_app_first_request": "Flask 2.3 removed it: use Blueprint.record_once.",
    "before_first_request_funcs": "Flask 2.3 removed it: run the code when the app is made.",
    "json_encoder": "Flask 2.3 removed it: set app.json_provider_class.",
    "json_decoder": "Flask 2.3 removed it: set app.json_provider_class.",
    "session_cookie_name": "Flask 2.3 removed it: app.config['SESSION_COOKIE_NAME'].",
    "use_x_sendfile": "Flask 2.3 removed it: app.config['USE_X_SENDFILE'].",
    "send_file_max_age_default": "Flask 2.3 removed it: app.config['SEND_FILE_MAX_AGE_DEFAULT'].",
    "propagate_exceptions": "Flask 2.3 removed it: app.config['PROPAGATE_EXCEPTIONS'].",
    "got_first_request": "Flask 2.3 removed it.",
}
_FAILED = re.compile(
    r"cannot import name '(?P<name>\w+)' from '(?P<module>(?:flask|torsyq|werkzeug)[\w.]*)'"
    r"|No module named '(?P<missing>(?:flask|torsyq|werkzeug)\.[\w.]+)'"
)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A name somebody's source asks for: ``module`` alone, or ``module.name``."""

    module: str
    name: str
    file: str
    line: int
    guarded: bool = False

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


@dataclasses.dataclass(frozen=True)
class Extension:
    """An installed distribution that requires Flask and that the app has loaded."""

    name: str
    version: str
    files: tuple[pathlib.Path, ...]

    @property
    def key(self) -> str:
        return re.sub(r"[-_.]+", "-", self.name).lower()

    def parity(self) -> str:
        """What the stored parity report says about it, in words."""
        found = json.loads(PARITY.read_text()).get(self.key)
        if found is None:
            return "not in the parity report"
        text = f"in the parity report: {found['torsyq']} of {found['flask']} tests"
        return (
            text if found["version"] == self.version else f"{text}, of version {found['version']}"
        )


def used_extensions() -> list[Extension]:
    """The distributions that require Flask and have a module loaded, by name."""
    found = {}
    for distribution in importlib.metadata.distributions():
        if _requires_flask(distribution) and (files := tuple(_loaded_files(distribution))):
            name = distribution.metadata["Name"]
            found[name.lower()] = Extension(name, distribution.version, files)
    return [found[name] for name in sorted(found)]


def _requires_flask(distribution: importlib.metadata.Distribution) -> bool:
    own = (line for line in distribution.requires or () if "extra ==" not in line)
    return any(re.match(r"(?i)(flask|torsyq)\b(?![-_.\w])", line) for line in own)


def _loaded_files(distribution: importlib.metadata.Distribution) -> Iterator[pathlib.Path]:
    tops = set()
    sources = [file for file in distribution.files or () if file.suffix == ".py"]
    for file in sources:
        top = file.parts[0].removesuffix(".py")
        if top in sys.modules:
            tops.add(file.parts[0])
    for file in sources:
        if file.parts[0] in tops and "tests" not in file.parts:
            yield pathlib.Path(str(distribution.locate_file(file)))


def wanted_names(files: Iterable[pathlib.Path]) -> Iterator[Wanted]:
    """Every name of Flask or Werkzeug that the sources import or reach through the package."""
    for file in files:
        tree = _parsed(file)
        if tree is not None:
            reader = _Reader(str(file))
            reader.visit(tree)
            yield from reader.wanted


def _parsed(file: pathlib.Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


class _Reader(ast.NodeVisitor):
    """Collects what one file wants; an import inside ``try`` or a type check counts as guarded."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.wanted: list[Wanted] = []
        self.aliases: dict[str, str] = {}
        self.guarded = False

    def want(self, module: str, name: str, node: ast.AST) -> None:
        line = getattr(node, "lineno", 0)
        self.wanted.append(Wanted(module, name, self.file, line, self.guarded))

    def visit_Try(self, node: ast.Try | ast.If) -> None:
        before, self.guarded = self.guarded, True
        self.generic_visit(node)
        self.guarded = before

    # `if version >= ...` and `if TYPE_CHECKING`: one of two branches, or none, will run.
    visit_If = visit_Try

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if _is_theirs(alias.name):
                self.want(alias.name, "", node)
                top = alias.name if alias.asname else alias.name.partition(".")[0]
                self.aliases[alias.asname or top] = top

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and _is_theirs(node.module or ""):
            for alias in node.names:
                self.want(str(node.module), "" if alias.name == "*" else alias.name, node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = _chain(node)
        if chain and chain[0] in self.aliases:
            module = self.aliases[chain[0]]
            self.want(module, ".".join(chain[1:]), node)
        else:
            # What `self` has is the class's own, and seldom is that an app.
            if node.attr in REMOVED_ATTRIBUTES and len(chain) == 2 and chain[0] != "self":
                self.want("", node.attr, node)
            self.generic_visit(node)


def _is_theirs(module: str) -> bool:
    return module.partition(".")[0] in ("flask", "werkzeug")


def _chain(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (chain := _chain(node.value)):
        return [*chain, node.attr]
    return []


def lacking(wanted: Iterable[Wanted]) -> list[Wanted]:
    """Those that Torsyq, or the Werkzeug installed, does not have, each name once a file."""
    found: dict[tuple[str, str], Wanted] = {}
    for want in wanted:
        if not _is_there(want):
            found.setdefault((want.full, want.file), want)
    return list(found.values())


def _is_there(want: Wanted) -> bool:
    if not want.module:
        return False
    module = _import(want.module)
    if module is None:
        return False
    place = module
    for name in want.name.split(".") if want.name else []:
        if not hasattr(place, name):
            # `import flask.json.provider` binds only `flask`; the rest are modules of their own.
            return _import(want.full) is not None
        place = getattr(place, name)
        if not isinstance(place, type(sys)):
            return True
    return True


def _import(name: str) -> t.Any:
    own = re.sub(r"^flask\b", __name__.partition(".")[0], name)
    try:
        return importlib.import_module(own)
    except ImportError:
        return None


def remedy(full: str) -> str:
    """What to do about a name that is gone."""
    parts = full.split(".")
    for end in range(len(parts), 0, -1):
        if text := REMOVED.get(".".join(parts[:end])):
            return text
    if full.startswith("."):
        return REMOVED_ATTRIBUTES[full[1:]]
    if parts[0] == "werkzeug":
        return "The Werkzeug installed does not have it: a release of the package for Werkzeug 3.1?"
    return (
        "Flask 3.1 does not have it either, or it is a private name: please tell us who needs it."
    )


def about_names(owner: str, files: Iterable[pathlib.Path]) -> list[Finding]:
    """Findings about the names *owner*'s sources want and will not get."""
    findings = []
    for want in lacking(wanted_names(files)):
        text = f"{pathlib.Path(want.file).name}, line {want.line} wants {want.full.lstrip('.')}."
        if want.guarded:
            text = text[:-1] + ", but only in a branch it can do without."
        findings.append(
            Finding("hint" if want.guarded else "problem", owner, text, remedy(want.full))
        )
    return findings


def about_failed_import(message: str) -> Finding | None:
    """Explain an import that failed for want of a name of Flask or Werkzeug; None for others."""
    match = _FAILED.search(message)
    if match is None:
        return None
    module = match["missing"] or match["module"]
    full = re.sub(r"^torsyq\b", "flask", module) + (f".{match['name']}" if match["name"] else "")
    return Finding(
        "problem", "import", f"The app cannot be imported: {full} is gone.", remedy(full)
    )
