"""The door ``flask.blueprints``: the module here is ``torsyq.blueprints`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.blueprints import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
