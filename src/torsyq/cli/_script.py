"""What every command shares: the script info that loads the app once, and the app context."""

from __future__ import annotations

import os
import re
import sys
import typing as t
from functools import update_wrapper
from inspect import iscoroutine

import click

from ..globals import current_app
from ..helpers import get_debug_flag
from ..helpers import get_load_dotenv
from ._discovery import locate_app
from ._discovery import NoAppException
from ._discovery import prepare_import

if t.TYPE_CHECKING:
    from ..app import Flask

F = t.TypeVar("F", bound=t.Callable[..., t.Any])

_NOT_FOUND = (
    "Could not locate a Flask application. Use the 'flask --app' option, 'FLASK_APP' environment"
    " variable, or a 'wsgi.py' or 'app.py' file in the current directory."
)


class ScriptInfo:
    """Knows which app the command line is about, and loads it when first asked.

    Click carries it as ``ctx.obj``. Commands rarely need it: :func:`with_appcontext` does.

    :param app_import_path: the value of ``--app``
    :param create_app: a factory to call instead of importing anything
    :param set_debug_flag: whether the command line's debug flag is written to the app
    :param load_dotenv_defaults: whether ``.env`` and ``.flaskenv`` are read; the environment
        variable ``FLASK_SKIP_DOTENV`` overrides it

    .. code-block:: python

        app = ScriptInfo("wiki:create_app('dev')").load_app()
    """

    def __init__(
        self,
        app_import_path: str | None = None,
        create_app: t.Callable[..., Flask] | None = None,
        set_debug_flag: bool = True,
        load_dotenv_defaults: bool = True,
    ) -> None:
        self.app_import_path = app_import_path
        self.create_app = create_app
        #: Anything that commands want to hand to one another.
        self.data: dict[t.Any, t.Any] = {}
        self.set_debug_flag = set_debug_flag
        self.load_dotenv_defaults = get_load_dotenv(load_dotenv_defaults)
        self._loaded_app: Flask | None = None

    def load_app(self) -> Flask:
        """Return the app; the first call imports or creates it.

        :raises NoAppException: there is none where it was looked for
        """
        if self._loaded_app is None:
            app = self._find_app()
            if app is None:
                raise NoAppException(_NOT_FOUND)
            if self.set_debug_flag:
                # Through the property, so that everything hanging on debug mode follows.
                app.debug = get_debug_flag()
            self._loaded_app = app
        return self._loaded_app

    def _find_app(self) -> Flask | None:
        if self.create_app is not None:
            return self.create_app()
        if self.app_import_path:
            # A colon before a slash belongs to a Windows drive.
            path, *name = re.split(r":(?![\\/])", self.app_import_path, maxsplit=1)
            return locate_app(prepare_import(path), name[0] if name else None)
        for path in ("wsgi.py", "app.py"):
            app = locate_app(prepare_import(path), None, raise_if_not_found=False)
            if app is not None:
                return app
        return None


def named_app(ctx: click.Context) -> str | None:
    """The app given before the command, or by the environment; None to look for app.py, wsgi.py."""
    info = t.cast("ScriptInfo | None", ctx.obj)
    return getattr(info, "app_import_path", None) or os.environ.get("FLASK_APP")


def encodable(text: str) -> str:
    """*text* as standard output takes it: what its encoding does not have is written as escapes.

    In a file or a pipe that is the country's code page on Windows, which may lack a letter of a
    name; then to print it would raise UnicodeEncodeError.
    """
    encoding = getattr(sys.stdout, "encoding", None)
    if not encoding or sys.stdout.errors != "strict":
        return text
    return text.encode(encoding, "backslashreplace").decode(encoding)


pass_script_info = click.make_pass_decorator(ScriptInfo, ensure=True)


def with_appcontext(f: F) -> F:
    """Run a command's function inside the app's context, which is pushed unless one is.

    Commands registered on ``app.cli``, on a blueprint's ``cli`` or on an :class:`AppGroup` have
    this already. An ``async def`` is run on the process's event loop.

    .. code-block:: python

        @click.command()
        @with_appcontext
        def seed():
            current_app.logger.info("seeding")
    """

    @click.pass_context
    def invoke(ctx: click.Context, /, *args: t.Any, **kwargs: t.Any) -> t.Any:
        if not current_app:
            app = ctx.ensure_object(ScriptInfo).load_app()
            ctx.with_resource(app.app_context())
        result = ctx.invoke(f, *args, **kwargs)
        return current_app.async_to_sync(_wait)(result) if iscoroutine(result) else result

    return update_wrapper(invoke, f)  # type: ignore[return-value]


async def _wait(coroutine: t.Coroutine[t.Any, t.Any, t.Any]) -> t.Any:
    return await coroutine


class AppGroup(click.Group):
    """A Click group whose commands run in the app's context and whose groups are like it.

    .. code-block:: python

        user = AppGroup("user")

        @user.command("create")
        @click.argument("name")
        def create(name): ...

        app.cli.add_command(user)
    """

    def command(  # type: ignore[override]
        self, *args: t.Any, **kwargs: t.Any
    ) -> t.Callable[[t.Callable[..., t.Any]], click.Command]:
        """As :meth:`click.Group.command`; the function is wrapped in :func:`with_appcontext`.

        :param with_appcontext: ``False`` leaves the function as it is
        """
        wrap = kwargs.pop("with_appcontext", True)
        register = super().command

        def decorator(f: t.Callable[..., t.Any]) -> click.Command:
            command: click.Command = register(*args, **kwargs)(with_appcontext(f) if wrap else f)
            return command

        return decorator

    def group(  # type: ignore[override]
        self, *args: t.Any, **kwargs: t.Any
    ) -> t.Callable[[t.Callable[..., t.Any]], click.Group]:
        """As :meth:`click.Group.group`, with :class:`AppGroup` as the class to make."""
        kwargs.setdefault("cls", AppGroup)
        register: t.Callable[[t.Callable[..., t.Any]], click.Group]
        register = super().group(*args, **kwargs)
        return register
