"""The door ``flask.app``: the module here is ``torsyq.app`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.app import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
