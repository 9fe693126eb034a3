"""The door ``flask.typing``: the module here is ``torsyq.typing`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.typing import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
