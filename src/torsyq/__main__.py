"""``torsyq`` and ``python -m torsyq``: the command line, with the doors open."""

from __future__ import annotations


def main() -> None:
    """Open the doors, so that the app's ``import flask`` finds Torsyq, and run the command line."""
    from .doors import open as open_doors

    open_doors()
    from .cli import torsyq

    torsyq.main()


if __name__ == "__main__":
    main()
