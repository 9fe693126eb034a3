"""What an application and a blueprint do alike with the files that lie beside them."""

from __future__ import annotations

import os
import typing as t
from datetime import timedelta

from .globals import current_app
from .helpers import send_from_directory
from .sansio.scaffold import Scaffold
from .wrappers import Response

F = t.TypeVar("F", bound=t.Callable[..., t.Any])


def known_as_in(module: str) -> t.Callable[[F], F]:
    """Give a view of Torsyq's own the module that it has in Flask.

    COMPAT: views are told apart by module and name. Flask-WTF is given these as text: pgAdmin
    exempts ``"flask.app.<lambda>"`` and ``"flask.blueprints.send_static_file"``.
    """

    def name(view: F) -> F:
        view.__module__ = module
        return view

    return name


class StaticFiles(Scaffold):
    """A :class:`Scaffold` that sends its static files and opens its resources."""

    def get_send_file_max_age(self, filename: str | None) -> int | None:
        """How many seconds a browser may keep a file without asking again.

        By default ``SEND_FILE_MAX_AGE_DEFAULT``; ``None`` has it ask each time. Override it to
        decide by name.
        """
        value: int | timedelta | None = current_app.config["SEND_FILE_MAX_AGE_DEFAULT"]
        return int(value.total_seconds()) if isinstance(value, timedelta) else value

    @known_as_in("flask.app")
    def send_static_file(self, filename: str) -> Response:
        """The view of the ``static`` endpoint: a file from :attr:`static_folder`.

        :raises RuntimeError: when there is no static folder.
        """
        folder = self.static_folder
        if folder is None:
            raise RuntimeError("'static_folder' must be set to serve static_files.")
        # Here and not in send_file, so that an override is asked for this object's own files.
        max_age = self.get_send_file_max_age(filename)
        return send_from_directory(folder, filename, max_age=max_age)

    def open_resource(
        self, resource: str, mode: str = "rb", encoding: str | None = None
    ) -> t.IO[t.AnyStr]:
        """Open a file that lies at or below :attr:`root_path`, for reading.

        ::

            with app.open_resource("schema.sql", "rt", encoding="utf-8") as file:
                schema = file.read()

        :param mode: ``"rb"``, ``"rt"`` or ``"r"``.
        :param encoding: of a file opened as text.
        :raises ValueError: for any other mode.
        """
        if mode not in {"r", "rt", "rb"}:
            raise ValueError("Resources can only be opened for reading.")
        path = os.path.join(self.root_path, resource)
        return t.cast(
            "t.IO[t.AnyStr]", open(path, mode, encoding=None if mode == "rb" else encoding)
        )
