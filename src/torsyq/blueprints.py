"""The blueprint applications use: :class:`torsyq.sansio.blueprints.Blueprint` with files."""

from __future__ import annotations

import typing as t

from ._static import known_as_in
from ._static import StaticFiles
from .passed_on import passed_on
from .sansio.blueprints import Blueprint as SansioBlueprint
from .sansio.blueprints import BlueprintSetupState as BlueprintSetupState
from .sansio.scaffold import _sentinel as _sentinel
from .wrappers import Response


class Blueprint(StaticFiles, SansioBlueprint):
    __doc__ = SansioBlueprint.__doc__

    @known_as_in("flask.blueprints")
    def send_static_file(self, filename: str) -> Response:
        """:meth:`torsyq.Flask.send_static_file`, from the blueprint's folder."""
        return super().send_static_file(filename)

    def open_resource(
        self, resource: str, mode: str = "rb", encoding: str | None = "utf-8"
    ) -> t.IO[t.AnyStr]:
        """:meth:`torsyq.Flask.open_resource`, but text is UTF-8 unless said otherwise."""
        return super().open_resource(resource, mode, encoding)


__getattr__ = passed_on(__name__)
