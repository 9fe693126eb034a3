"""Where the app is: from ``--app package.module:name(args)`` to the object.

Every way to miss it has its own message, and an error raised *inside* the app's module is never
mistaken for "there is no such module".
"""

from __future__ import annotations

import ast
import inspect
import os
import sys
import traceback
import typing as t

import click

if t.TYPE_CHECKING:
    from types import ModuleType
    from types import TracebackType

    from ..app import Flask


class NoAppException(click.UsageError):
    """Raised if no application can be found or loaded."""


def find_best_app(module: ModuleType) -> Flask:
    """Pick the app out of a module that was named without a variable.

    In order: ``app`` or ``application``; the only app there is; what ``create_app`` or
    ``make_app`` returns when called without arguments.

    :param module: the imported module
    :raises NoAppException: none of these, several apps, or a factory that wants arguments

    .. code-block:: python

        app = find_best_app(importlib.import_module("hello"))
    """
    from ..app import Flask

    for name in ("app", "application"):
        app = getattr(module, name, None)
        if isinstance(app, Flask):
            return app

    apps = [value for value in vars(module).values() if isinstance(value, Flask)]
    if len(apps) == 1:
        return apps[0]
    if apps:
        raise NoAppException(
            f"Detected multiple Flask applications in module '{module.__name__}'."
            f" Use '{module.__name__}:name' to specify the correct one."
        )
    return _app_from_factory(module)


def _app_from_factory(module: ModuleType) -> Flask:
    from ..app import Flask

    for name in ("create_app", "make_app"):
        factory = getattr(module, name, None)
        if not inspect.isfunction(factory):
            continue
        try:
            app = factory()
        except TypeError as error:
            if not _called_with_wrong_args(factory):
                raise
            raise NoAppException(
                f"Detected factory '{name}' in module '{module.__name__}', but could not call it"
                f" without arguments. Use '{module.__name__}:{name}(args)' to specify arguments."
            ) from error
        if isinstance(app, Flask):
            return app

    raise NoAppException(
        "Failed to find Flask application or factory in module"
        f" '{module.__name__}'. Use '{module.__name__}:name' to specify one."
    )


def _called_with_wrong_args(f: t.Callable[..., Flask]) -> bool:
    """Tell, while a ``TypeError`` is handled, whether the call itself failed.

    The other case is an error of the factory's own: then its frame is part of the traceback.

    :param f: the function that was called
    """
    trace: TracebackType | None = sys.exc_info()[2]
    while trace is not None:
        if trace.tb_frame.f_code is f.__code__:
            return False
        trace = trace.tb_next
    return True


def find_app_by_string(module: ModuleType, app_name: str) -> Flask:
    """Find the app that the part after the colon in ``--app module:...`` means.

    :param module: the imported module
    :param app_name: a variable, a factory, or a factory called with literal arguments
    :raises NoAppException: it cannot be read, is not there, or is no app

    .. code-block:: python

        app = find_app_by_string(wiki, "create_app('dev', debug=True)")
    """
    from ..app import Flask

    name, args, kwargs = _parse_name_or_call(app_name)
    try:
        found = getattr(module, name)
    except AttributeError as error:
        raise NoAppException(
            f"Failed to find attribute {name!r} in {module.__name__!r}."
        ) from error

    app = found
    if inspect.isfunction(found):
        try:
            app = found(*args, **kwargs)
        except TypeError as error:
            if not _called_with_wrong_args(found):
                raise
            raise NoAppException(
                f"The factory {app_name!r} in module {module.__name__!r} could not be called"
                " with the specified arguments."
            ) from error

    if isinstance(app, Flask):
        return app
    raise NoAppException(
        f"A valid Flask application was not obtained from '{module.__name__}:{app_name}'."
    )


def _parse_name_or_call(text: str) -> tuple[str, list[t.Any], dict[str, t.Any]]:
    """Read ``name`` or ``name(1, key="x")``: the name and the arguments, literals only.

    SECURITY: the text may come from a file in the project folder (``.flaskenv``); nothing in it
    is evaluated.
    """
    unreadable = NoAppException(f"Failed to parse {text!r} as an attribute name or function call.")
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):  # the latter for a null byte, before Python 3.11.4
        raise unreadable from None

    if isinstance(node, ast.Name):
        return node.id, [], {}
    if not isinstance(node, ast.Call):
        raise unreadable
    if not isinstance(node.func, ast.Name):
        raise NoAppException(f"Function reference must be a simple name: {text!r}.")
    try:
        args, kwargs = _literal_arguments(node)
    except ValueError:
        raise NoAppException(f"Failed to parse arguments as literal values: {text!r}.") from None
    return node.func.id, args, kwargs


def _literal_arguments(call: ast.Call) -> tuple[list[t.Any], dict[str, t.Any]]:
    args = [ast.literal_eval(arg) for arg in call.args]
    # COMPAT: what stands behind ** is passed over.
    named = {word.arg: word.value for word in call.keywords if word.arg is not None}
    return args, {name: ast.literal_eval(value) for name, value in named.items()}


def prepare_import(path: str) -> str:
    """Turn a file path or a dotted name into what ``import`` wants, and make it importable.

    The folder above the outermost package is put first on ``sys.path``.

    :param path: ``hello``, ``hello.py``, ``src/hello``, ``pkg/sub/__init__.py``, ``pkg.sub``
    :return: the dotted name

    .. code-block:: python

        prepare_import("src/wiki/__init__.py")   # "wiki", with .../src on sys.path
    """
    folder, last = os.path.split(os.path.realpath(path).removesuffix(".py"))
    if last == "__init__":
        folder, last = os.path.split(folder)
    names = [last]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        names.insert(0, package)

    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    return ".".join(names)


@t.overload
def locate_app(
    module_name: str, app_name: str | None, raise_if_not_found: t.Literal[True] = True
) -> Flask: ...


@t.overload
def locate_app(
    module_name: str, app_name: str | None, raise_if_not_found: t.Literal[False]
) -> Flask | None: ...


def locate_app(
    module_name: str, app_name: str | None, raise_if_not_found: bool = True
) -> Flask | None:
    """Import a module and find the app in it.

    :param module_name: the dotted name
    :param app_name: what follows the colon, or ``None`` to look around
    :param raise_if_not_found: ``False`` returns ``None`` when there is no such module; an import
        that fails inside the module is still an error
    :raises NoAppException: no such module, an import error inside it, or no app in it

    .. code-block:: python

        app = locate_app("wiki", "create_app('dev')")
    """
    try:
        __import__(module_name)
    except ImportError as error:
        # The traceback goes deeper than this frame: the module exists, an import in it failed.
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise NoAppException(
                f"While importing {module_name!r}, an ImportError was raised:\n\n"
                f"{traceback.format_exc()}"
            ) from None
        if raise_if_not_found:
            raise NoAppException(f"Could not import {module_name!r}.") from None
        return None

    module = sys.modules[module_name]
    return find_best_app(module) if app_name is None else find_app_by_string(module, app_name)
