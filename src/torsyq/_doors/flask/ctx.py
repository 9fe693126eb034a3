"""The door ``flask.ctx``: the module here is ``torsyq.ctx`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.ctx import *  # noqa: F403
    from torsyq.ctx import _AppCtxGlobals as _AppCtxGlobals
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
