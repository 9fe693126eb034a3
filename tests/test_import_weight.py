"""What Torsyq loads before an app asks for it: as little as can be.

Werkzeug's own package face imports its development server and its test client, so these two,
and what they bring along, come with whatever is imported from Werkzeug.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

import pytest

HEAVY = {
    "asyncio",
    "click",
    "concurrent.futures",
    "difflib",
    "email.utils",
    "granian",
    "ipaddress",
    "jinja2",
    "pathlib",
    "platform",
    "shutil",
    "socket",
    "uuid",
    "werkzeug.debug",
    "torsyq.cli",
    "torsyq.debughelpers",
    "torsyq.serve",
    "torsyq.templating",
    "torsyq.testing",
}
if hasattr(tempfile, "_rmtree"):  # Early patches of Python 3.11 read it as tempfile is imported.
    HEAVY -= {"shutil"}

SERVE = """
import io
import torsyq

app = torsyq.Flask("app", root_path="/")
app.secret_key = "k"

@app.post("/<int:number>")
def view(number):
    torsyq.session["number"] = number
    return torsyq.jsonify(torsyq.request.form)

environ = {
    "REQUEST_METHOD": "POST",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/7",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "CONTENT_TYPE": "application/x-www-form-urlencoded",
    "CONTENT_LENGTH": "3",
    "wsgi.url_scheme": "http",
    "wsgi.input": io.BytesIO(b"a=b"),
    "wsgi.errors": io.StringIO(),
}
body = app(environ, lambda status, headers: print(status))
print(b"".join(body))
"""


def modules_after(code: str) -> set[str]:
    code += "\nimport sys\nprint(*sys.modules)"
    run = [sys.executable, "-c", code]
    text = subprocess.run(run, check=True, capture_output=True, text=True, timeout=60).stdout
    *_, modules = text.strip().splitlines()
    return set(modules.split())


@pytest.mark.parametrize("code", ["import torsyq", SERVE], ids=["imported", "one request served"])
def test_heavy_modules_are_not_loaded(code: str) -> None:
    # Python's own modules bring along what they like: since 3.15 this one brings pathlib.
    loaded = modules_after(code) - modules_after("import logging")
    assert "torsyq.app" in loaded
    assert loaded & HEAVY == set()


def test_everything_but_the_tools_comes_with_the_package() -> None:
    """No first request pays for an import that every app needs; of keys, those with sessions do."""
    before = {name for name in modules_after("import torsyq") if name.startswith("torsyq")}
    after = {name for name in modules_after(SERVE) if name.startswith("torsyq")}
    assert after - before == {"torsyq.signing"}
