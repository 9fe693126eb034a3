"""Values that come into being when first read, and the mark of steps that nobody replaced."""

from __future__ import annotations

import typing as t
from contextlib import suppress
from importlib import import_module
from threading import RLock
from types import FunctionType
from types import MethodType

T = t.TypeVar("T")
F = t.TypeVar("F", bound=t.Callable[..., t.Any])

_absent: t.Any = object()

# Reentrant, since the collector may run what reads such an attribute.
_holding = RLock()


class lazy(t.Generic[T]):
    """A method whose result becomes a plain attribute of the instance when first read.

    Assigning the attribute beforehand keeps the method from ever running; deleting it makes the
    next read compute it anew. Two threads reading at once may both compute it: see
    :class:`shared`.

    Example::

        class Page:
            @lazy
            def words(self) -> int:
                return len(self.text.split())

    PERF: unlike :class:`functools.cached_property` (Python 3.11) it takes no lock, and unlike
    :class:`werkzeug.utils.cached_property` the second read is a dictionary look-up made by the
    interpreter, not a Python call (0.03 against 0.25 us).
    """

    def __init__(self, compute: t.Callable[[t.Any], T]) -> None:
        # COMPAT: under a property's name, and to be asked as one: ``Request.form.fget(request)``.
        self.fget = compute
        self.__doc__ = compute.__doc__
        self.__name__ = compute.__name__
        self.__module__ = compute.__module__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @t.overload
    def __get__(self, instance: None, owner: type | None = None) -> lazy[T]: ...

    @t.overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...

    def __get__(self, instance: object | None, owner: type | None = None) -> lazy[T] | T:
        if instance is None:
            return self
        # A subclass may have put a property in this one's place, and ask super() again and again:
        # so what there is already is looked for, and what is made is not kept with setattr.
        values = instance.__dict__
        if self.name in values:
            return values[self.name]  # type: ignore[no-any-return]
        value = values[self.name] = self.fget(instance)
        return value

    if t.TYPE_CHECKING:
        # At run time there is no such method: assignment fills the instance's ``__dict__``.
        def __set__(self, instance: object, value: T) -> None: ...


class shared(lazy[T]):
    """A :class:`lazy` attribute that threads share.

    Of those that read it at once several may compute it, but all get what was kept first: what
    one puts into it (a filter into the Jinja environment, a key into ``g``) is not lost.
    """

    @t.overload
    def __get__(self, instance: None, owner: type | None = None) -> shared[T]: ...

    @t.overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...

    def __get__(self, instance: object | None, owner: type | None = None) -> shared[T] | T:
        if instance is None:
            return self
        values = instance.__dict__
        if self.name in values:
            return values[self.name]  # type: ignore[no-any-return]
        # One step of the interpreter.
        return values.setdefault(self.name, self.fget(instance))  # type: ignore[no-any-return]


class held(shared[T]):
    """A :class:`shared` attribute that lies beside the others: in a dictionary called ``_held``.

    For an app, whose attributes and methods Python finds soonest where they are few: see
    :class:`.Flask`.
    """

    @t.overload
    def __get__(self, instance: None, owner: type | None = None) -> held[T]: ...

    @t.overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...

    def __get__(self, instance: object | None, owner: type | None = None) -> held[T] | T:
        if instance is None:
            return self
        values = _held_by(instance)
        # Asked once, since another thread may take it away meanwhile.
        value = values.get(self.name, _absent)
        if value is _absent:
            value = values.setdefault(self.name, self.fget(instance))
        return value  # type: ignore[no-any-return]

    def __set__(self, instance: object, value: T) -> None:
        values = _held_by(instance)
        if self.name in values:
            values[f"{self.name} before"] = values[self.name]
        values[self.name] = value

    def __delete__(self, instance: object) -> None:
        values = _held_by(instance)
        if self.name not in values:
            raise AttributeError(self.name)
        # COMPAT: mock.patch.object() sets back only what it finds in __dict__, and else deletes.
        before = values.pop(f"{self.name} before", _absent)
        if before is _absent:
            del values[self.name]
        else:
            values[self.name] = before

    def taken_from(self, instance: object) -> T | None:
        """What *instance* had, and has no more, if it was made; to one of several who ask at once."""
        return _held_by(instance).pop(self.name, None)  # type: ignore[no-any-return]

    def is_made(self, instance: object) -> bool:
        """Whether *instance* has the value already, computed or assigned."""
        return self.name in _held_by(instance)


def _held_by(instance: object) -> dict[str, t.Any]:
    # Not by way of __dict__, nor with __getattr__ and __setattr__ of a subclass's own.
    try:
        return object.__getattribute__(instance, "_held")  # type: ignore[no-any-return]
    except AttributeError:
        pass
    with _holding:
        with suppress(AttributeError):
            return object.__getattribute__(instance, "_held")  # type: ignore[no-any-return]
        values: dict[str, t.Any] = {}
        object.__setattr__(instance, "_held", values)
        return values


def stock(method: F) -> F:
    """Mark an overridable step as Torsyq's own version of it.

    Where :func:`is_stock` finds the mark on ``app.step``, nobody has replaced the step (in a
    subclass, on the class or on the instance), so what it is known to do may be done later or
    in fewer calls. A replacement does not carry the mark and gets exactly Flask's calls.
    """
    method._stock = method.__code__  # type: ignore[attr-defined]
    return method


def is_stock(method: t.Callable[..., t.Any]) -> bool:
    """Whether *method* is marked by :func:`stock`, and no wrapper that shows another's mark.

    :func:`functools.wraps` copies it, proxies and mocks pass it on.
    """
    if type(method) is MethodType:
        method = method.__func__
    return type(method) is FunctionType and method.__dict__.get("_stock") is method.__code__


class imported:
    """A class attribute that is an object of a module not yet imported.

    Reading it imports the module; assigning it in a subclass or on an instance replaces it.

    Example::

        class App:
            jinja_environment = imported("torsyq.templating", "Environment")
    """

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __get__(self, instance: object, owner: type | None = None) -> t.Any:
        return getattr(import_module(self.module), self.name)


class deferred:
    """A module that is imported when one of its names is first read.

    :param module: its full name. The last part of it is what this is called by.
    :param names: of the module that imports it: ``globals()``.

    Example::

        if typing.TYPE_CHECKING:
            import asyncio
        else:
            asyncio = deferred("asyncio", globals())

    PERF: the module then takes this one's place, from where its names are read in a tenth of the
    time (1 % of a request over ASGI, or with a session).
    """

    def __init__(self, module: str, names: dict[str, t.Any]) -> None:
        self._module = module
        self._names = names

    def __getattr__(self, name: str) -> t.Any:
        module = import_module(self._module)
        self._names[self._module.rpartition(".")[2]] = module
        return getattr(module, name)
