"""The command line: ``flask`` (and ``torsyq``) with ``run``, ``shell``, ``routes``.

The group finds the app, so that its own commands and those of its blueprints appear beside the
built-in ones; installed packages add theirs through the entry point group ``flask.commands``.
Each option can be given by a variable, ``FLASK_RUN_PORT`` for ``run --port``, also from the files
``.env`` and ``.flaskenv``.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import traceback
import typing as t

import click
from click.core import ParameterSource
from werkzeug.serving import is_running_from_reloader
from werkzeug.serving import run_simple

from ..globals import current_app
from ..helpers import get_debug_flag
from ..helpers import get_load_dotenv
from ..passed_on import passed_on
from ._discovery import _called_with_wrong_args
from ._discovery import find_app_by_string
from ._discovery import find_best_app
from ._discovery import locate_app
from ._discovery import NoAppException
from ._discovery import prepare_import
from ._params import _validate_key
from ._params import CertParamType
from ._params import SeparatedPathType
from ._routes import routes_command
from ._script import AppGroup
from ._script import encodable
from ._script import pass_script_info
from ._script import ScriptInfo
from ._script import with_appcontext
from ._shell import shell_command

if t.TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

    from ..app import Flask

__all__ = [
    "AppGroup",
    "CertParamType",
    "FlaskGroup",
    "NoAppException",
    "ScriptInfo",
    "SeparatedPathType",
    "_called_with_wrong_args",
    "_env_file_callback",
    "_path_is_ancestor",
    "_set_app",
    "_set_debug",
    "_validate_key",
    "cli",
    "find_app_by_string",
    "find_best_app",
    "get_debug_flag",
    "get_load_dotenv",
    "get_version",
    "load_dotenv",
    "locate_app",
    "main",
    "pass_script_info",
    "prepare_import",
    "routes_command",
    "run_command",
    "shell_command",
    "show_server_banner",
    "version_option",
    "with_appcontext",
]

FLASK_VERSION = "3.1.3"


# -- options of the group --------------------------------------------------------------------


def get_version(ctx: click.Context, param: click.Parameter, value: t.Any) -> None:
    """Print the versions of what serves the app and exit: the callback of ``--version``."""
    if not value or ctx.resilient_parsing:
        return
    click.echo(
        f"Python {platform.python_version()}\n"
        f"Flask {FLASK_VERSION}\n"
        f"Werkzeug {importlib.metadata.version('werkzeug')}\n"
        f"Torsyq {importlib.metadata.version('torsyq')}",
        color=ctx.color,
    )
    ctx.exit()


version_option = click.Option(
    ["--version"],
    help="Show the Flask version.",
    expose_value=False,
    callback=get_version,
    is_flag=True,
    is_eager=True,
)


def _set_app(ctx: click.Context, param: click.Option, value: str | None) -> str | None:
    if value is not None:
        ctx.ensure_object(ScriptInfo).app_import_path = value
    return value


# Eager: the app must be known before a command, maybe one of its own, is looked up.
_app_option = click.Option(
    ["-A", "--app"],
    metavar="IMPORT",
    help=(
        "The app, or the factory that makes it, as 'module:name'. The module is a dotted name or"
        " a file. The name may be left out when it is 'app', 'application', 'create_app' or"
        " 'make_app'; 'name(args)' calls a factory with arguments."
    ),
    is_eager=True,
    expose_value=False,
    callback=_set_app,
)


def _set_debug(ctx: click.Context, param: click.Option, value: bool) -> bool | None:
    # Not eager, so that files with variables are read first and FLASK_DEBUG in them counts.
    source = ctx.get_parameter_source(param.name or "debug")
    if source in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP):
        return None
    # A variable, so that the reloader's child process and the app itself see the same.
    os.environ["FLASK_DEBUG"] = "1" if value else "0"
    return value


_debug_option = click.Option(
    ["--debug/--no-debug"],
    help="Set debug mode.",
    expose_value=False,
    callback=_set_debug,
)


def _env_file_callback(ctx: click.Context, param: click.Option, value: str | None) -> str | None:
    if value is not None:
        try:
            import dotenv  # noqa: F401
        except ImportError:
            raise click.BadParameter(
                "python-dotenv must be installed to load an env file.", ctx=ctx, param=param
            ) from None
    if value is not None or ctx.obj.load_dotenv_defaults:
        load_dotenv(value, load_defaults=ctx.obj.load_dotenv_defaults)
    return value


# Eager, and before --app: the file may say which app.
_env_file_option = click.Option(
    ["-e", "--env-file"],
    type=click.Path(exists=True, dir_okay=False),
    help=(
        "Read variables from this file; they win over those of '.env' and '.flaskenv', and those"
        " set in the environment win over all. Needs python-dotenv."
    ),
    is_eager=True,
    expose_value=False,
    callback=_env_file_callback,
)


# -- variables from files --------------------------------------------------------------------


def load_dotenv(path: str | os.PathLike[str] | None = None, load_defaults: bool = True) -> bool:
    """Set environment variables from ``.flaskenv``, ``.env`` and a file, without replacing any.

    A later file wins over an earlier one. The two are searched for from the current folder
    upwards. Without python-dotenv nothing is read; a tip says so if there was something to read.

    :param path: a file to read besides the two
    :param load_defaults: ``False`` leaves the two alone
    :return: whether a file set or could have set anything

    .. code-block:: python

        load_dotenv("deploy.env")
    """
    try:
        import dotenv
    except ImportError:
        if path or os.path.isfile(".env") or os.path.isfile(".flaskenv"):
            click.secho(
                " * Tip: There are .env files present. Install python-dotenv to use them.",
                fg="yellow",
                err=True,
            )
        return False

    defaults = (".flaskenv", ".env") if load_defaults else ()
    files = [dotenv.find_dotenv(name, usecwd=True) for name in defaults]
    if path is not None and os.path.isfile(path):
        files.append(os.fspath(path))

    values: dict[str, str | None] = {}
    for file in filter(None, files):
        values.update(dotenv.dotenv_values(file, encoding="utf-8"))
    for name, value in values.items():
        if value is not None:
            os.environ.setdefault(name, value)
    return bool(values)


def _path_is_ancestor(path: str, other: str) -> bool:
    """Tell by the texts alone whether ``other`` is, or lies below, the folder ``path``."""
    folder = path if not path or path.endswith(os.sep) else path + os.sep
    return other.startswith(folder) and not other.startswith(os.sep, len(folder))


# -- the group -------------------------------------------------------------------------------


class FlaskGroup(AppGroup):
    """The group behind ``flask``: built-in commands, plugins' commands and the app's own.

    :param add_default_commands: whether ``run``, ``shell`` and ``routes`` are there
    :param create_app: a factory, for a program of the project's own
    :param add_version_option: whether ``--version`` is there
    :param load_dotenv: whether ``.env`` and ``.flaskenv`` are read
    :param set_debug_flag: whether the app's debug flag is set from ``--debug``

    .. code-block:: python

        @click.group(cls=FlaskGroup, create_app=create_app)
        def cli():
            "Management of the wiki."
    """

    def __init__(
        self,
        add_default_commands: bool = True,
        create_app: t.Callable[..., Flask] | None = None,
        add_version_option: bool = True,
        load_dotenv: bool = True,
        set_debug_flag: bool = True,
        **extra: t.Any,
    ) -> None:
        params: list[click.Parameter] = [*(extra.pop("params", None) or ())]
        params += [_env_file_option, _app_option, _debug_option]
        if add_version_option:
            params.append(version_option)
        extra.setdefault("context_settings", {}).setdefault("auto_envvar_prefix", "FLASK")
        super().__init__(params=params, **extra)

        self.create_app = create_app
        self.load_dotenv = load_dotenv
        self.set_debug_flag = set_debug_flag
        self._loaded_plugin_commands = False
        if add_default_commands:
            for command in (run_command, shell_command, routes_command):
                self.add_command(command)

    def _load_plugin_commands(self) -> None:
        if self._loaded_plugin_commands:
            return
        self._loaded_plugin_commands = True
        for entry_point in importlib.metadata.entry_points(group="flask.commands"):
            self.add_command(entry_point.load(), entry_point.name)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the command: a built-in or a plugin's one, else the app's own.

        An app that cannot be found is reported on stderr, not raised: the command line then
        goes on to say that there is no such command.
        """
        self._load_plugin_commands()
        command = super().get_command(ctx, name)
        if command is not None:
            return command

        try:
            app = ctx.ensure_object(ScriptInfo).load_app()
        except NoAppException as error:
            click.secho(f"Error: {error.format_message()}\n", err=True, fg="red")
            return None
        # The command's parameters may want the app when they are read, before it runs.
        if not current_app or current_app._get_current_object() is not app:  # type: ignore[attr-defined]
            ctx.with_resource(app.app_context())
        return app.cli.get_command(ctx, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted.

        Help must show however broken the app is: why its commands are missing goes to stderr.
        """
        self._load_plugin_commands()
        names = set(super().list_commands(ctx))
        try:
            names.update(ctx.ensure_object(ScriptInfo).load_app().cli.list_commands(ctx))
        except NoAppException as error:
            click.secho(f"Error: {error.format_message()}\n", err=True, fg="red")
        except Exception:
            click.secho(f"{traceback.format_exc()}\n", err=True, fg="red")
        return sorted(names)

    def get_help(self, ctx: click.Context) -> str:
        """Return the help, with the app's own words in what standard output can take."""
        return encodable(super().get_help(ctx))

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: t.Any,
    ) -> click.Context:
        """Make the context, with a :class:`ScriptInfo` as its object unless it has one."""
        # app.run() in a module that is imported by a command must not start a second server.
        os.environ["FLASK_RUN_FROM_CLI"] = "true"
        if "obj" not in extra and "obj" not in self.context_settings:
            extra["obj"] = ScriptInfo(
                create_app=self.create_app,
                set_debug_flag=self.set_debug_flag,
                load_dotenv_defaults=self.load_dotenv,
            )
        return super().make_context(info_name, args, parent=parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with the app known even when only help will be shown.

        Help ends the parsing before other options are read, and it lists the app's commands.
        """
        only_help = len(args) == 1 and args[0] in self.get_help_option_names(ctx)
        if only_help or (not args and self.no_args_is_help):
            for option in (_env_file_option, _app_option):
                option.handle_parse_result(ctx, {}, [])
        return super().parse_args(ctx, args)


# -- the development server ------------------------------------------------------------------


def show_server_banner(debug: bool | None, app_import_path: str | None) -> None:
    """Say which app is served and in which mode, once, not again at each reload.

    :param debug: whether debug mode is on; ``None`` says nothing of it
    :param app_import_path: what ``--app`` said, or the app's name; ``None`` says nothing of it
    """
    if is_running_from_reloader():
        return
    if app_import_path is not None:
        click.echo(encodable(f" * Serving Flask app '{app_import_path}'"))
    if debug is not None:
        click.echo(f" * Debug mode: {'on' if debug else 'off'}")


@click.command("run", short_help="Run a development server.")
@click.option("--host", "-h", default="127.0.0.1", help="The interface to bind to.")
@click.option("--port", "-p", default=5000, help="The port to bind to.")
@click.option(
    "--cert",
    type=CertParamType(),
    help="A certificate file, to serve HTTPS.",
    is_eager=True,
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    callback=_validate_key,
    expose_value=False,
    help="The key file of the certificate.",
)
@click.option(
    "--reload/--no-reload",
    default=None,
    help="Restart when code changes. On in debug mode, unless said otherwise.",
)
@click.option(
    "--debugger/--no-debugger",
    default=None,
    help="Show errors in an interactive debugger. On in debug mode, unless said otherwise.",
)
@click.option(
    "--with-threads/--without-threads",
    default=True,
    help="Handle requests in threads of their own.",
)
@click.option(
    "--extra-files",
    default=None,
    type=SeparatedPathType(),
    help=f"More files to restart for. Several are separated by '{os.path.pathsep}'.",
)
@click.option(
    "--exclude-patterns",
    default=None,
    type=SeparatedPathType(),
    help=(
        "Files not to restart for, as fnmatch patterns. Several are separated by"
        f" '{os.path.pathsep}'."
    ),
)
@pass_script_info
def run_command(
    info: ScriptInfo,
    host: str,
    port: int,
    reload: bool | None,
    debugger: bool | None,
    with_threads: bool,
    cert: ssl.SSLContext | tuple[str, str | None] | t.Literal["adhoc"] | None,
    extra_files: list[str] | None,
    exclude_patterns: list[str] | None,
    interface: str = "flask",
) -> None:
    """Serve the app for development.

    This server is made for one developer at one machine: it is neither fast nor safe enough for
    anything that others reach.

    With '--debug' it restarts when code changes and shows errors in an interactive debugger.
    """
    app = _load_app_for_reloader(info)
    debug = get_debug_flag()
    show_server_banner(debug, info.app_import_path)
    from ..development import is_for_loop
    from ..development import run_on_loop

    serve: t.Callable[..., None] = run_on_loop if is_for_loop(app, interface) else run_simple
    serve(
        host,
        port,
        app,
        use_reloader=debug if reload is None else reload,
        use_debugger=debug if debugger is None else debugger,
        threaded=with_threads,
        ssl_context=cert,
        extra_files=extra_files,
        exclude_patterns=exclude_patterns,
    )


run_command.params.insert(0, _debug_option)


def _load_app_for_reloader(info: ScriptInfo) -> WSGIApplication:
    """Load the app; in the reloader's child, an app that fails is served as its error.

    The first start ends at once on an error. After that the process must live on, watching for
    the change that mends it, and the browser shows what is wrong.
    """
    try:
        return info.load_app()
    except Exception as error:
        if not is_running_from_reloader():
            raise
        traceback.print_exc()
        failure = error

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise failure from None

    return app


# -- the program -----------------------------------------------------------------------------

cli = FlaskGroup(
    name="flask",
    help=(
        "Run, inspect and manage a Flask application.\n\n"
        "Which one is said by the '--app' option or the 'FLASK_APP' environment variable; without"
        " either it is looked for in 'wsgi.py' and 'app.py' in the current directory."
    ),
)


def main() -> None:
    """Run the command line: what the console script ``flask`` calls."""
    cli.main()


__getattr__ = passed_on(__name__)
