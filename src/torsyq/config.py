"""The application's settings: a dict that can fill itself from files, objects and the environment."""

from __future__ import annotations

import errno
import json
import os
import types
import typing as t

from werkzeug.utils import import_string

if t.TYPE_CHECKING:
    import typing_extensions as te

    from .sansio.app import App

T = t.TypeVar("T")


class ConfigAttribute(t.Generic[T]):
    """A class attribute that reads and writes one key of the application's config.

    :param name: the config key.
    :param get_converter: called with the stored value each time the attribute is read.

    .. code-block:: python

        class App:
            testing = ConfigAttribute[bool]("TESTING")
    """

    def __init__(self, name: str, get_converter: t.Callable[[t.Any], T] | None = None) -> None:
        self.__name__ = name
        self.get_converter = get_converter

    @t.overload
    def __get__(self, obj: None, owner: type[t.Any] | None) -> te.Self: ...

    @t.overload
    def __get__(self, obj: App, owner: type[App]) -> T: ...

    def __get__(self, obj: App | None, owner: type[App] | None = None) -> T | te.Self:
        if obj is None:
            return self

        value = obj.config[self.__name__]
        convert = self.get_converter
        return value if convert is None else convert(value)

    def __set__(self, obj: App, value: t.Any) -> None:
        obj.config[self.__name__] = value


class Config(dict[str, t.Any]):
    """A dict of settings. The ``from_*`` methods take upper-case names only, so that a config
    file may have helpers of its own in lower case.

    :param root_path: the folder that relative file names start from.
    :param defaults: the first settings.

    .. code-block:: python

        app.config.from_pyfile("settings.py")
        app.config.from_prefixed_env()
    """

    def __init__(
        self, root_path: str | os.PathLike[str], defaults: dict[str, t.Any] | None = None
    ) -> None:
        super().__init__(defaults or {})
        self.root_path = root_path

    def from_envvar(self, variable_name: str, silent: bool = False) -> bool:
        """Load the Python file that an environment variable names.

        :param variable_name: the variable holding the file name.
        :param silent: give ``False`` instead of raising when the variable or the file is missing.
        :return: whether a file was loaded.
        :raises RuntimeError: the variable is not set, or empty.
        """
        filename = os.environ.get(variable_name)

        if filename:
            return self.from_pyfile(filename, silent=silent)
        if silent:
            return False

        raise RuntimeError(
            f"The environment variable {variable_name!r} is not set and as such configuration"
            " could not be loaded. Set this variable and make it point to a configuration file"
        )

    def from_prefixed_env(
        self, prefix: str = "FLASK", *, loads: t.Callable[[str], t.Any] = json.loads
    ) -> bool:
        """Take every environment variable that starts with the prefix and ``_``.

        A value that ``loads`` can't read stays the string it is. A double underscore steps into
        a dict, which is made where it is missing: ``FLASK_DB__HOST`` is ``config["DB"]["HOST"]``.

        :param prefix: what the names start with, without the last ``_``.
        :param loads: turns a variable's text into a value.
        """
        prefix += "_"

        for variable in sorted(os.environ):
            if variable.startswith(prefix):
                value = _loaded(os.environ[variable], loads)
                self._set_nested(variable.removeprefix(prefix), value)

        return True

    def _set_nested(self, key: str, value: t.Any) -> None:
        """Set ``a__b__c`` as ``self[a][b][c]``, or ``self[key]`` where there is nothing to step into."""
        *folders, name = key.split("__")
        target: t.Any = self

        for folder in folders:
            if folder not in target:
                target[folder] = {}
            target = target[folder]

        target[name] = value

    def from_pyfile(self, filename: str | os.PathLike[str], silent: bool = False) -> bool:
        """Run a Python file and take its upper-case names.

        :param filename: the file, absolute or below :attr:`root_path`.
        :param silent: give ``False`` instead of raising when there is no such file.
        :return: whether the file was loaded.
        """
        path = os.path.join(self.root_path, filename)
        module = types.ModuleType("config")
        module.__file__ = path

        try:
            with open(path, mode="rb") as file:
                # COMPAT: what the file itself fails to open counts as the file.
                exec(compile(file.read(), path, "exec"), module.__dict__)
        except OSError as e:
            if silent and e.errno in (errno.ENOENT, errno.EISDIR, errno.ENOTDIR):
                return False
            e.strerror = f"Unable to load configuration file ({e.strerror})"
            raise

        self.from_object(module)
        return True

    def from_object(self, obj: object | str) -> None:
        """Take the upper-case attributes of an object: a module, a class or its import name.

        :param obj: the object, or a string such as ``"settings.Production"`` to import it by.
        :raises ImportError: the string names nothing that can be imported.
        """
        if isinstance(obj, str):
            obj = import_string(obj)

        for key in dir(obj):
            if key.isupper():
                self[key] = getattr(obj, key)

    def from_file(
        self,
        filename: str | os.PathLike[str],
        load: t.Callable[[t.IO[t.Any]], t.Mapping[str, t.Any]],
        silent: bool = False,
        text: bool = True,
    ) -> bool:
        """Read a file with a loader such as ``json.load`` and take its upper-case keys.

        :param filename: the file, absolute or below :attr:`root_path`.
        :param load: called with the open file; gives a mapping.
        :param silent: give ``False`` instead of raising when there is no such file.
        :param text: open as text; ``False`` opens as bytes, as ``tomllib.load`` wants.
        :return: whether the file was loaded.

        .. code-block:: python

            app.config.from_file("settings.toml", load=tomllib.load, text=False)
        """
        path = os.path.join(self.root_path, filename)

        try:
            with open(path, "r" if text else "rb") as file:
                values = load(file)
        except OSError as e:
            # COMPAT: unlike from_pyfile, ENOTDIR is raised here although silent.
            if silent and e.errno in (errno.ENOENT, errno.EISDIR):
                return False
            e.strerror = f"Unable to load configuration file ({e.strerror})"
            raise

        return self.from_mapping(values)

    def from_mapping(self, mapping: t.Mapping[str, t.Any] | None = None, **kwargs: t.Any) -> bool:
        """Take the upper-case keys of a mapping, a list of pairs and the keyword arguments.

        :return: always ``True``.

        .. code-block:: python

            app.config.from_mapping(SECRET_KEY="dev", MAX_CONTENT_LENGTH=1024 * 1024)
        """
        values = {} if mapping is None else dict(mapping)
        values.update(kwargs)

        for key, value in values.items():
            if key.isupper():
                self[key] = value

        return True

    def get_namespace(
        self, namespace: str, lowercase: bool = True, trim_namespace: bool = True
    ) -> dict[str, t.Any]:
        """The settings whose names start with ``namespace``, as a new dict.

        :param namespace: the start of the names.
        :param lowercase: put the names into lower case.
        :param trim_namespace: leave the start itself off.

        .. code-block:: python

            app.config["IMAGE_STORE_TYPE"] = "fs"
            app.config.get_namespace("IMAGE_STORE_")  # {"type": "fs"}
        """
        skip = len(namespace) if trim_namespace else 0
        found = ((name[skip:], value) for name, value in self.items() if name.startswith(namespace))
        return {name.lower() if lowercase else name: value for name, value in found}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {dict.__repr__(self)}>"


def _loaded(text: str, loads: t.Callable[[str], t.Any]) -> t.Any:
    """What ``loads`` makes of the text, or the text itself where it can't."""
    try:
        return loads(text)
    except Exception:
        return text
