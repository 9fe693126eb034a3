"""Torsyq: Flask's text."""

from __future__ import annotations

import typing as t

from benchmarks.apps import flask

PROTOCOL = "wsgi"


def make(variant: str, size: int) -> t.Any:
    return flask.make(variant, size, framework="torsyq")
