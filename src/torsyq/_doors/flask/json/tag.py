"""The door ``flask.json.tag``: the module here is ``torsyq.json.tag`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.json.tag import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
