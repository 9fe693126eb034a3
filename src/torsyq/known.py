"""What the walk remembers of an app, so that it need not be found out in each request."""

from __future__ import annotations

import typing as t
from operator import attrgetter

if t.TYPE_CHECKING:
    from .doorman import Doorman

#: The steps of the sync walk; where one is replaced, it must be called, and so the sync walk runs.
STEPS = frozenset(
    {
        "__call__",
        "wsgi_app",
        "full_dispatch_request",
        "preprocess_request",
        "dispatch_request",
        "finalize_request",
        "process_response",
        "handle_http_exception",
        "handle_user_exception",
        "handle_exception",
        "do_teardown_request",
        "do_teardown_appcontext",
        "app_context",
        "request_context",
        "ensure_sync",
        "async_to_sync",
    }
)
#: An app's steps, as they are called.
steps_of = attrgetter(*sorted(STEPS - {"__call__"}))

_View = t.Callable[..., t.Any]


class OnLoop:
    """Whether walks of an app may be walks on the event loop.

    :param count: of view functions, when this was found out.
    :param classes: the app's class and those it derives from, down to :class:`.Flask`.
    :param is_wanted: whether any function is async, and no step of this app's own replaced.
    :param is_plain: whether contexts are made, and URLs matched, in Torsyq's own way and no other.
    """

    def __init__(
        self,
        count: int,
        classes: t.Iterable[type] = (),
        is_wanted: bool = False,
        is_plain: bool = False,
    ) -> None:
        # Live: they grow with the classes.
        names: list[t.Any] = [vars(cls).keys() for cls in classes]
        self.count = count
        self.is_possible = is_wanted and all(map(STEPS.isdisjoint, names))
        self.is_plain = self.is_possible and is_plain
        self._names = [(of_class, *_extent(of_class)) for of_class in names]

    def still_holds(self) -> bool:
        """Whether no class has got or lost a name since then.

        None of them has a step of its own where walks go on the loop. One that replaces a step gets
        a name, which comes last.

        PERF: asking for each step takes 5 % of a text's request.
        """
        for names, count, last in self._names:
            if len(names) != count or next(reversed(names)) != last:
                return False
        return True


def _extent(names: t.Any) -> tuple[int, str]:
    """How many names a class has, and the one that it got last."""
    return len(names), next(reversed(names))


#: Stands for :attr:`Known.on_loop` when nobody has asked yet.
NOT_ASKED = OnLoop(-1)


class Known:
    """What is known of one app. Setting an attribute of the app forgets what it could change.

    :param got_first_request: whether a request was handled, so that set-up is over.
    :param plain_contexts: whether contexts begin and end, and URLs are matched, in Torsyq's own way
        and no other.
    """

    __slots__ = (
        "async_views",
        "doorman",
        "got_first_request",
        "loop_walks",
        "on_loop",
        "plain_contexts",
        "sync_hooks",
        "sync_views",
    )

    def __init__(self, got_first_request: bool = False, plain_contexts: bool = False) -> None:
        self.got_first_request = got_first_request
        self.plain_contexts = plain_contexts
        #: Views that ``ensure_sync`` returned as they are, by endpoint.
        self.sync_views: dict[str, _View] = {}
        #: Views that are awaited as they are, by endpoint.
        self.async_views: dict[str, _View] = {}
        #: Lists of hooks that are sync, by the id of the list they were found in.
        self.sync_hooks: dict[int, list[_View]] = {}
        #: Whether a walk may be one on the event loop.
        self.on_loop = NOT_ASKED
        #: By endpoint: the view, and whether its walk is one for the loop.
        self.loop_walks: dict[str | None, tuple[t.Any, bool]] = {}
        #: The doorman of the event loop that was seen last.
        self.doorman: Doorman | None = None
