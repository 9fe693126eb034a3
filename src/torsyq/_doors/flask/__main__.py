"""``python -m flask``: the command line, as ``flask`` runs it."""

if __name__ == "__main__":
    from flask.cli import main

    main()
