"""The door ``flask.config``: the module here is ``torsyq.config`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.config import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
