"""``torsyq doctor``: what in an app, and in the extensions it uses, will not work as written."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import pathlib
import site
import sys
import sysconfig
import typing as t

import click

from ..calling import _suspendable
from ..interface import better_on_asgi
from ._discovery import NoAppException
from ._doctor_finding import Finding
from ._doctor_imports import about_failed_import
from ._doctor_imports import about_names
from ._doctor_imports import Extension
from ._doctor_imports import used_extensions
from ._doctor_routes import about_routes
from ._doctor_routes import about_templates
from ._script import encodable
from ._script import named_app
from ._script import ScriptInfo

if t.TYPE_CHECKING:
    from ..app import Flask


@dataclasses.dataclass
class Report:
    """What the doctor has to say about one app."""

    app: str
    extensions: list[Extension]
    findings: list[Finding]

    @property
    def problems(self) -> int:
        return sum(finding.level == "problem" for finding in self.findings)


@click.command("doctor")
@click.option(
    "-A", "--app", "app_import", metavar="IMPORT", help="The app, as for the other commands."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def doctor_command(ctx: click.Context, app_import: str | None, as_json: bool) -> None:
    """Look over the app: its extensions, routes, views and templates.

    Tells which extensions it uses and what the parity report says of each, which names of Flask
    or Werkzeug they and the app want that are not there, rules that no request reaches, views that
    do not fit their rules, url_for in templates to endpoints that do not exist, and a database
    that async views would wait for together. The exit status is 1 when there are problems; hints
    alone leave it 0.
    """
    report = examine(app_import or named_app(ctx))
    click.echo(as_data(report) if as_json else encodable(as_text(report)))
    ctx.exit(int(report.problems > 0))


def examine(app_import: str | None) -> Report:
    """Load the app and look it over; an app that cannot be loaded is told as a finding.

    :raises NoAppException: there is no app, or its import fails for a reason of its own
    """
    try:
        app = ScriptInfo(app_import).load_app()
    except (NoAppException, ImportError) as error:
        finding = about_failed_import(str(error))
        if finding is None:
            raise
        extensions = used_extensions()
        return Report(
            app_import or "the app", extensions, [finding, *_about_extensions(extensions)]
        )
    extensions = used_extensions()
    findings = _about_extensions(extensions) + about_names("the app", own_sources(app))
    # Its converters and loaders of templates may ask for the app, as they can within a request.
    with app.app_context():
        findings += about_routes(app) + about_templates(app) + about_databases(app)
    return Report(app_import or app.name, extensions, findings)


def _about_extensions(extensions: list[Extension]) -> list[Finding]:
    return [
        finding
        for extension in extensions
        for finding in about_names(extension.name, extension.files)
    ]


def about_databases(app: Flask) -> list[Finding]:
    """Whether async views that wait for Flask-SQLAlchemy hold up the event loop."""
    if "sqlalchemy" not in app.extensions or _suspendable() is not None:
        return []
    if not {"async views", "async hooks"}.intersection(better_on_asgi(app)):
        return []
    text = (
        "an async view that waits for a free connection, or for what another one has locked, holds"
        " up all others, since greenlet is not installed. Where they wait for those, nothing in the"
        " process moves, until a timeout."
    )
    return [Finding("hint", "Flask-SQLAlchemy", text, "pip install greenlet")]


def own_sources(app: Flask) -> list[pathlib.Path]:
    """The source files of loaded modules that lie in the app's folder and are nobody's package."""
    root = pathlib.Path(app.root_path).resolve()
    library = [pathlib.Path(place).resolve() for place in _library_places()]
    found = set()
    for module in list(sys.modules.values()):
        file = pathlib.Path(getattr(module, "__file__", None) or "").resolve()
        if file.suffix != ".py" or not file.is_relative_to(root):
            continue
        if not any(file.is_relative_to(place) for place in library):
            found.add(file)
    return sorted(found)


def _library_places() -> list[str]:
    paths = sysconfig.get_paths()
    # On Windows the prefix itself is among them, which may be the folder of the project.
    places = [place for place in site.getsitepackages() if place != sys.prefix]
    return [paths["purelib"], paths["platlib"], paths["stdlib"], *places]


def as_text(report: Report) -> str:
    """The report a person reads."""
    lines = [_versions(), "", f"Extensions that {report.app} uses:"]
    width = max((len(extension.name) for extension in report.extensions), default=0)
    for extension in report.extensions:
        lines.append(f"  {extension.name:<{width}}  {extension.version:<10} {extension.parity()}")
    if not report.extensions:
        lines.append("  none")
    lines += ["", *map(str, report.findings), *([""] if report.findings else [])]
    hints = len(report.findings) - report.problems
    return "\n".join([*lines, f"{_number(report.problems, 'problem')}, {_number(hints, 'hint')}."])


def _number(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _versions() -> str:
    names = ("torsyq", "werkzeug", "jinja2", "click")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def as_data(report: Report) -> str:
    """The same report as JSON."""
    extensions = [
        {"name": extension.name, "version": extension.version, "parity": extension.parity()}
        for extension in report.extensions
    ]
    findings = [dataclasses.asdict(finding) for finding in report.findings]
    data = {"app": report.app, "extensions": extensions, "findings": findings}
    return json.dumps(data | {"problems": report.problems}, indent=2)
