"""The door ``flask.sansio``: the module here is ``torsyq.sansio`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.sansio import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
