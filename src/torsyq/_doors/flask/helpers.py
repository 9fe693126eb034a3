"""The door ``flask.helpers``: the module here is ``torsyq.helpers`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.helpers import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
