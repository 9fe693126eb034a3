"""The door ``flask``: the module here is ``torsyq`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq import *  # noqa: F403

    # To type checkers too, `import flask` leaves these.
    from . import app as app
    from . import blueprints as blueprints
    from . import cli as cli
    from . import config as config
    from . import ctx as ctx
    from . import debughelpers as debughelpers
    from . import globals as globals  # noqa: A004
    from . import helpers as helpers
    from . import json as json
    from . import logging as logging
    from . import sessions as sessions
    from . import signals as signals
    from . import templating as templating
    from . import testing as testing
    from . import typing as typing
    from . import wrappers as wrappers
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
