"""What the walk remembers of an app, so that it need not be found out in each request."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from dataclasses import field

if t.TYPE_CHECKING:
    from .asgi_answer import Doorman

_View = t.Callable[..., t.Any]

#: Stands for :attr:`Known.loop_is_possible` when nobody has asked yet.
NOT_ASKED = -1, None, False


@dataclass(slots=True)
class Known:
    """What is known of one app. Setting an attribute of the app forgets what it could change."""

    #: Whether a request was handled, so that set-up is over.
    got_first_request: bool = False
    #: Whether contexts begin and end, and URLs are matched, in Torsyq's own way and no other.
    plain_contexts: bool = False
    #: Views that ``ensure_sync`` returned as they are, by endpoint.
    sync_views: dict[str, _View] = field(default_factory=dict)
    #: Views that are awaited as they are, by endpoint.
    async_views: dict[str, _View] = field(default_factory=dict)
    #: Lists of hooks that are sync, by the id of the list they were found in.
    sync_hooks: dict[int, list[_View]] = field(default_factory=dict)
    #: What it was decided on whether a walk could be one for the loop, and the decision.
    loop_is_possible: tuple[int, t.Any, bool] = NOT_ASKED
    #: By endpoint: the view, and whether its walk is one for the loop.
    loop_walks: dict[str | None, tuple[t.Any, bool]] = field(default_factory=dict)
    #: The doorman of the event loop that was seen last.
    doorman: Doorman | None = None
