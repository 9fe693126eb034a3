"""The door ``flask.templating``: the module here is ``torsyq.templating`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.templating import *  # noqa: F403
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
