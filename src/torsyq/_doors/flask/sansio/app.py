"""The door ``flask.sansio.app``: the module here is ``torsyq.sansio.app`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.sansio.app import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
