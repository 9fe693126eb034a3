"""The door ``flask.signals``: the module here is ``torsyq.signals`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.signals import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
