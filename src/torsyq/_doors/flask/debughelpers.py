"""The door ``flask.debughelpers``: the module here is ``torsyq.debughelpers`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.debughelpers import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
