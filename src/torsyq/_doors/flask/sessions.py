"""The door ``flask.sessions``: the module here is ``torsyq.sessions`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.sessions import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
