"""The door ``flask.globals``: the module here is ``torsyq.globals`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.globals import *  # noqa: F403
    from torsyq.globals import _cv_app as _cv_app
    from torsyq.globals import _cv_request as _cv_request
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
