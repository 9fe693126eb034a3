"""The door ``flask.json.provider``: the module here is ``torsyq.json.provider`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.json.provider import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
