"""Uploaded pictures: judged by what they hold, stored under names of our own."""

from __future__ import annotations

import secrets
from pathlib import Path

from flask import current_app
from werkzeug.datastructures import FileStorage
from werkzeug.utils import secure_filename


class NotAPicture(ValueError):
    """The file is none of the kinds of picture that browsers show."""


def kind(head: bytes) -> str:
    """The file extension for a picture that starts with these bytes.

    Neither the name nor the type a client claims is worth anything, and SVG is left out with
    intent: it may carry scripts.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    raise NotAPicture


def store(file: FileStorage) -> str:
    """Save the picture and return the name it is kept under."""
    extension = kind(file.stream.read(16))
    file.stream.seek(0)
    stem = Path(secure_filename(file.filename or "")).stem[:40]
    name = f"{secrets.token_hex(8)}{'-' + stem if stem else ''}.{extension}"
    file.save(Path(current_app.config["UPLOADS"], name))
    return name


def remove(name: str) -> None:
    Path(current_app.config["UPLOADS"], name).unlink(missing_ok=True)
