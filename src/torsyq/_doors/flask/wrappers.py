"""The door ``flask.wrappers``: the module here is ``torsyq.wrappers`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.wrappers import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
