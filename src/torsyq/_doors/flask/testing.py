"""The door ``flask.testing``: the module here is ``torsyq.testing`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.testing import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
