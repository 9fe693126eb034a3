"""The door ``flask``: the module here is ``torsyq`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
