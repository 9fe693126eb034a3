"""What the walk remembers of an app, so that it need not be found out in each request."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from .doorman import Doorman

_View = t.Callable[..., t.Any]

#: Stands for :attr:`Known.loop_is_possible` when nobody has asked yet.
NOT_ASKED = -1, None, False


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
        "loop_is_possible",
        "loop_walks",
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
        #: What it was decided on whether a walk could be one for the loop, and the decision.
        self.loop_is_possible: tuple[int, t.Any, bool] = NOT_ASKED
        #: By endpoint: the view, and whether its walk is one for the loop.
        self.loop_walks: dict[str | None, tuple[t.Any, bool]] = {}
        #: The doorman of the event loop that was seen last.
        self.doorman: Doorman | None = None
