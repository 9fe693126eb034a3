"""The door ``flask.json``: the module here is ``torsyq.json`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.json import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
