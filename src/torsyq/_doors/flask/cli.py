"""The door ``flask.cli``: the module here is ``torsyq.cli`` itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torsyq.cli import *  # noqa: F403
elif __name__ == "__main__":  # python -m flask.cli
    from torsyq.cli import main

    main()
else:
    from torsyq.doors import hand_over

    hand_over(__name__)
