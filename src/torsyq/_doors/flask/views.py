"""The door ``flask.views``: the module here is ``torsyq.views`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.views import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
