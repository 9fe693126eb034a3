"""The door ``flask.sansio.scaffold``: the module here is ``torsyq.sansio.scaffold`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.sansio.scaffold import *  # noqa: F403
    from torsyq.sansio.scaffold import _endpoint_from_view_func as _endpoint_from_view_func
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
