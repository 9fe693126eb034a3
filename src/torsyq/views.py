"""Views as classes: a method for each HTTP method, shared set-up in ``__init__``, inheritance."""

from __future__ import annotations

import typing as t

from . import typing as ft
from .globals import _current_request_context
from .globals import _pushed_app_context
from .globals import current_app
from .globals import request
from .lazy import is_stock
from .loop import is_async
from .loop import set_twin

F = t.TypeVar("F", bound=t.Callable[..., t.Any])

#: The methods a :class:`MethodView` may answer with a method of the same name.
http_method_funcs = frozenset({"get", "post", "head", "options", "delete", "put", "trace", "patch"})


class View:
    """A view written as a class: override :meth:`dispatch_request`.

    Example::

        class Hello(View):
            def dispatch_request(self, name):
                return f"Hello, {name}!"

        app.add_url_rule("/hello/<name>", view_func=Hello.as_view("hello"))
    """

    #: The methods the view answers. ``None``: the default of ``route()``.
    methods: t.ClassVar[t.Collection[str] | None] = None

    #: Whether ``OPTIONS`` is answered without the view. ``None``: the default of ``route()``.
    provide_automatic_options: t.ClassVar[bool | None] = None

    #: Put around the function :meth:`as_view` makes, the first innermost.
    decorators: t.ClassVar[list[t.Callable[..., t.Any]]] = []

    #: Make an instance for each request. Where ``False``, one serves all: keep nothing of a
    #: request on ``self`` then.
    init_every_request: t.ClassVar[bool] = True

    def dispatch_request(self) -> ft.ResponseReturnValue:
        """Answer the request; called with the URL's values as keyword arguments."""
        raise NotImplementedError()

    @classmethod
    def as_view(cls, name: str, *class_args: t.Any, **class_kwargs: t.Any) -> ft.RouteCallable:
        """Make the view function to register.

        :param name: its name, and so the endpoint if none is given.
        :param class_args: passed to the class when it is instantiated, as are the keywords.

        What is returned carries the class as ``view_class``; another one put there is used.
        """
        shared = None if cls.init_every_request else cls(*class_args, **class_kwargs)
        # The function behind dispatch_request, once the app returned it as it is, and the one that
        # returned it.
        plain: t.Any = None
        asked: t.Any = None

        def view(**kwargs: t.Any) -> ft.ResponseReturnValue:
            nonlocal plain, asked
            self = view_func.view_class(*class_args, **class_kwargs) if shared is None else shared
            dispatch = self.dispatch_request
            func = getattr(dispatch, "__func__", dispatch)
            # PERF: _current_app_or_none() would be a call more.
            ctx = _pushed_app_context(None) or _current_request_context(None)
            # PERF: not asking again saves a quarter of what the class adds to a view's call.
            if func is plain and ctx and getattr(ctx.app.ensure_sync, "__func__", None) is asked:
                return dispatch(**kwargs)
            ensure_sync: t.Any = current_app.ensure_sync
            sync_dispatch = ensure_sync(dispatch)
            if sync_dispatch is dispatch and is_stock(ensure_sync):
                plain, asked = func, ensure_sync.__func__
            return sync_dispatch(**kwargs)  # type: ignore[no-any-return]

        async def twin(**kwargs: t.Any) -> ft.ResponseReturnValue:
            self = view_func.view_class(*class_args, **class_kwargs) if shared is None else shared
            return await current_app._ask(self._chosen(), **kwargs)  # type: ignore[no-any-return]

        view_func: t.Any = view
        if cls._has_async() and not cls.decorators:
            set_twin(view, twin)
        if cls.decorators:
            view_func.__name__ = name
            view_func.__module__ = cls.__module__
            for decorator in cls.decorators:
                view_func = decorator(view_func)

        view_func.view_class = cls
        view_func.__name__ = name
        view_func.__doc__ = cls.__doc__
        view_func.__module__ = cls.__module__
        view_func.methods = cls.methods
        view_func.provide_automatic_options = cls.provide_automatic_options
        return t.cast(ft.RouteCallable, view_func)

    @classmethod
    def _has_async(cls) -> bool:
        """Whether the view may run on the event loop."""
        return is_async(cls.dispatch_request)

    def _chosen(self) -> t.Callable[..., t.Any]:
        """What answers the request."""
        return self.dispatch_request


class MethodView(View):
    """A view with a method for each HTTP method; :attr:`View.methods` follows from them.

    Example::

        class Counter(MethodView):
            def get(self):
                return str(session.get("counter", 0))

            def post(self):
                session["counter"] = session.get("counter", 0) + 1
                return redirect(url_for("counter"))

        app.add_url_rule("/counter", view_func=Counter.as_view("counter"))
    """

    def __init_subclass__(cls, **kwargs: t.Any) -> None:
        super().__init_subclass__(**kwargs)
        if "methods" in cls.__dict__:
            return
        methods = {key.upper() for key in http_method_funcs if hasattr(cls, key)}
        for base in cls.__bases__:
            methods.update(getattr(base, "methods", None) or ())
        if methods:
            cls.methods = methods

    def dispatch_request(self, **kwargs: t.Any) -> ft.ResponseReturnValue:
        """Call the method that is named as the request's; ``get`` also answers ``HEAD``."""
        return current_app.ensure_sync(self._method())(**kwargs)  # type: ignore[no-any-return]

    @classmethod
    def _has_async(cls) -> bool:
        methods = (getattr(cls, name, None) for name in http_method_funcs)
        return super()._has_async() or any(is_async(method) for method in methods if method)

    def _chosen(self) -> t.Callable[..., t.Any]:
        # SECURITY: where dispatch_request is replaced, be it on the instance or on MethodView itself,
        # it must be called: it may ask for a login.
        dispatch = self.dispatch_request
        is_ours = getattr(dispatch, "__func__", None) is _own_dispatch
        return self._method() if is_ours else dispatch

    def _method(self) -> t.Callable[..., t.Any]:
        method = request.method
        meth = getattr(self, method.lower(), None)
        if meth is None and method == "HEAD":
            meth = getattr(self, "get", None)
        assert meth is not None, f"Unimplemented method {method!r}"
        return meth  # type: ignore[no-any-return]


_own_dispatch = MethodView.dispatch_request
