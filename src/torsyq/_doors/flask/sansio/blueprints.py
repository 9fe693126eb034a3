"""The door ``flask.sansio.blueprints``: the module here is ``torsyq.sansio.blueprints`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.sansio.blueprints import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
