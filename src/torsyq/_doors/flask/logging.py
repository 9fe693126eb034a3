"""The door ``flask.logging``: the module here is ``torsyq.logging`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.logging import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
