"""Files are sent as Werkzeug sends them, to the byte, and none from outside of the directory."""

from __future__ import annotations

import enum
import io
import mimetypes
import ntpath
import os
import time
import types
import typing as t
from pathlib import Path

import flask
import pytest
import werkzeug.utils
from hypothesis import example
from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join
from werkzeug.test import create_environ
from werkzeug.test import run_wsgi_app

import torsyq
from torsyq import files
from torsyq import Flask
from torsyq.wrappers import Response

NOW = 1_800_000_000.25

Answer: t.TypeAlias = tuple[str, list[tuple[str, str]], bytes]


@pytest.fixture(autouse=True)
def standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (time, files, werkzeug.utils):
        monkeypatch.setattr(module, "time", lambda: NOW)


def answer(
    send: t.Callable[..., t.Any], environ: dict[str, t.Any], *args: t.Any, **options: t.Any
) -> Answer:
    """Everything that arrives at the client."""
    try:
        response = send(*args, environ, **options)
    except HTTPException as error:
        return f"{type(error).__name__}", [], b""
    chunks, status, headers = run_wsgi_app(response, environ, buffered=True)
    return status, headers.to_wsgi_list(), b"".join(chunks)


def options(root: Path, **more: t.Any) -> dict[str, t.Any]:
    return {
        "_root_path": str(root),
        "response_class": Response,
        "use_x_sendfile": False,
        **more,
    }


def assert_same(root: Path, path: t.Any, environ: dict[str, t.Any], **more: t.Any) -> Answer:
    given = options(root, **more)
    ours = answer(files.send_file, environ.copy(), path, **given)
    theirs = answer(werkzeug.utils.send_file, environ.copy(), path, **given)
    assert ours == theirs
    return ours


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "style.css").write_bytes(bytes(range(256)) * 80)
    (tmp_path / "empty").touch()
    (tmp_path / "large.bin").write_bytes(os.urandom(200_000))
    (tmp_path / "pack.tar.gz").write_bytes(b"gz")
    os.utime(tmp_path / "style.css", ns=(10**18, 1_700_000_000_123_456_789))
    return tmp_path


@pytest.mark.parametrize("name", ["style.css", "empty", "large.bin", "pack.tar.gz"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
def test_a_file_is_sent_with_werkzeug_s_headers(root: Path, name: str, method: str) -> None:
    assert_same(root, name, create_environ(method=method))


@pytest.mark.parametrize(
    "more",
    [
        {"mimetype": "text/plain"},
        {"mimetype": "application/x-thing; v=1"},
        {"as_attachment": True},
        {"as_attachment": True, "download_name": "other.txt"},
        {"download_name": "жёлтый.txt"},
        {"download_name": ""},
        {"conditional": False},
        {"etag": False},
        {"etag": "mine"},
        {"last_modified": 1_600_000_000},
        {"max_age": 0},
        {"max_age": 3600},
        {"max_age": -1},
        {"max_age": 3600.75},
        {"max_age": lambda path: 0.5},
        {"max_age": lambda path: 60},
        {"max_age": lambda path: None},
        {"use_x_sendfile": True},
        {"response_class": werkzeug.wrappers.Response},
    ],
    ids=lambda value: str(value).partition(" at 0x")[0],
)
@pytest.mark.parametrize("name", ["style.css", "pack.tar.gz"])
def test_every_option_does_what_werkzeug_s_does(
    root: Path, name: str, more: dict[str, t.Any]
) -> None:
    assert_same(root, name, create_environ(), **more)


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "Range": st.sampled_from(
            ["bytes=0-9", "bytes=-5", "bytes=99999-", "bytes=0-1,4-5", "lines=1-2", "x"]
        ),
        "If-Range": st.sampled_from(["{etag}", '"other"', "Tue, 14 Nov 2023 22:13:20 GMT", "x"]),
        "If-None-Match": st.sampled_from(["{etag}", "W/{etag}", '"other"', "*", "x"]),
        "If-Match": st.sampled_from(["{etag}", '"other"', "*"]),
        "If-Modified-Since": st.sampled_from(
            ["Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2000 22:13:20 GMT", "x", ""]
        ),
        "If-Unmodified-Since": st.just("Tue, 14 Nov 2000 22:13:20 GMT"),
    },
)


@given(headers=CONDITIONS, method=st.sampled_from(["GET", "HEAD", "POST"]))
@settings(deadline=None, max_examples=200)
def test_conditions_and_ranges_are_answered_as_werkzeug_does(
    tmp_path_factory: pytest.TempPathFactory, headers: dict[str, str], method: str
) -> None:
    root = tmp_path_factory.getbasetemp()
    file = root / "style.css"
    file.write_bytes(bytes(range(256)) * 80)
    os.utime(file, ns=(10**18, 1_700_000_000_123_456_789))
    etag = dict(assert_same(root, "style.css", create_environ())[1])["ETag"]
    sent = {name: value.replace("{etag}", etag) for name, value in headers.items()}
    assert_same(root, "style.css", create_environ(method=method, headers=sent))


def test_the_client_s_copy_is_good(root: Path) -> None:
    etag = dict(assert_same(root, "style.css", create_environ())[1])["ETag"]
    status, _, body = assert_same(
        root, "style.css", create_environ(headers={"If-None-Match": etag})
    )
    assert (status, body) == ("304 NOT MODIFIED", b"")


def test_a_range_beyond_the_end_is_refused_and_the_file_closed(root: Path) -> None:
    """An open file would be a ResourceWarning here, and warnings are errors."""
    environ = create_environ(headers={"Range": "bytes=99999-"})
    assert assert_same(root, "style.css", environ)[0] == "RequestedRangeNotSatisfiable"


@pytest.mark.parametrize("header", ["If-Modified-Since", "If-Range"])
def test_a_date_no_calendar_has_is_ignored(root: Path, header: str) -> None:
    environ = create_environ(
        headers={header: "Fri, 31 Dec 9999 23:59:59 -9999", "Range": "bytes=0-1"}
    )
    status, _, _ = answer(files.send_file, environ, "style.css", **options(root))
    assert status in {"200 OK", "206 PARTIAL CONTENT"}


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 200)


@given(name=NAMES, as_attachment=st.booleans())
@example(name="my report.pdf", as_attachment=True)
@example(name='quo"ted.txt', as_attachment=False)
@example(name="data:text.css", as_attachment=False)
@example(name="x.TAR.GZ", as_attachment=False)
@example(name="x.tgz", as_attachment=False)
@example(name=".css", as_attachment=False)
@settings(deadline=None)
def test_every_name_gets_werkzeug_s_headers(
    tmp_path_factory: pytest.TempPathFactory, name: str, as_attachment: bool
) -> None:
    root = tmp_path_factory.getbasetemp()
    file = root / name
    file.write_bytes(b"x")
    try:
        results = []
        for send in (files.send_file, werkzeug.utils.send_file):
            try:
                given = options(root, as_attachment=as_attachment)
                results.append(answer(send, create_environ(), name, **given))
            except ValueError as error:  # A line break in the name can't be in a header.
                results.append(str(error))  # type: ignore[arg-type]
        assert results[0] == results[1]
    finally:
        file.unlink()


@given(
    name=st.from_regex(
        r"[a-zA-Z:.]{0,5}(\.(css|TXT|gz|tgz|tar|svgz|Z|bz2|nope|js))*", fullmatch=True
    )
)
def test_types_are_guessed_as_mimetypes_does(name: str) -> None:
    mimetypes.init()
    mimetype, encoding = mimetypes.guess_type(name)
    assert files._guess_type(name) == (mimetype or "application/octet-stream", encoding)


def test_a_type_added_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert files._guess_type("x.torsyq")[0] == "application/octet-stream"
    monkeypatch.setitem(mimetypes.types_map, ".torsyq", "text/torsyq")
    assert files._guess_type("x.torsyq")[0] == "text/torsyq"


def test_types_are_guessed_before_mimetypes_has_read_its_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mimetypes, "inited", False)
    assert files._guess_type("x.css") == ("text/css", None)


@pytest.mark.parametrize("separator", ["\n", "\r", "\0"])
def test_a_type_can_not_start_a_header_of_its_own(root: Path, separator: str) -> None:
    given = options(root, mimetype=f"text/plain{separator}Set-Cookie: a=b")
    with pytest.raises(ValueError):
        files.send_file("style.css", create_environ(), **given)


def test_a_changed_file_is_described_anew(root: Path) -> None:
    before = dict(assert_same(root, "pack.tar.gz", create_environ())[1])
    (root / "pack.tar.gz").write_bytes(b"longer")
    after = dict(assert_same(root, "pack.tar.gz", create_environ())[1])
    assert (before["Content-Length"], after["Content-Length"]) == ("2", "6")
    assert before["ETag"] != after["ETag"]


def test_an_open_file_is_sent(root: Path) -> None:
    given = options(root, mimetype="text/plain")
    status, headers, body = answer(files.send_file, create_environ(), io.BytesIO(b"abc"), **given)
    assert (status, body) == ("200 OK", b"abc")
    assert ("Content-Length", "3") in headers


def test_a_path_object_is_sent(root: Path) -> None:
    assert assert_same(root, root / "style.css", create_environ())[0] == "200 OK"


def test_the_server_s_own_way_to_send_files_is_used(root: Path) -> None:
    environ = create_environ()

    def wrap(file: t.IO[bytes], size: int) -> list[bytes]:
        with file:
            return [b"by the server: ", file.read()]

    environ["wsgi.file_wrapper"] = wrap
    with files.send_file("pack.tar.gz", environ, **options(root)) as response:
        assert b"".join(response(environ, lambda *_: None)) == b"by the server: gz"  # type: ignore[arg-type]


def test_a_missing_file_is_an_error_of_the_app(root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.send_file("nope", create_environ(), **options(root))


# From within a directory


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    inside = tmp_path / "inside"
    (inside / "sub" / ".hidden").mkdir(parents=True)
    for name in ("a.txt", "sub/b.txt", "sub/.hidden/c.txt", "-d_e.f"):
        (inside / name).write_text(name)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "inside-too.txt").write_text("secret")
    return tmp_path


PARTS = st.sampled_from(
    [
        "a.txt",
        "sub",
        "b.txt",
        ".hidden",
        "c.txt",
        "..",
        ".",
        "",
        "secret.txt",
        "inside",
        "~",
        "\0",
        "\\",
        "-d_e.f",
        "%2e%2e",
        "c:",
        "nul",
    ]
)
PATHS = st.lists(PARTS, min_size=1, max_size=5).map("/".join) | st.text(max_size=12)


@given(path=PATHS)
@example(path="../secret.txt")
@example(path="sub/../../secret.txt")
@example(path="/etc/passwd")
@example(path="//etc/passwd")
@example(path="../inside-too.txt")
@settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_path_leads_out_and_every_path_is_answered_as_by_werkzeug(tree: Path, path: str) -> None:
    results = []
    for send in (files.send_from_directory, werkzeug.utils.send_from_directory):
        for root, directory in (
            (tree, "inside"),
            (tree / "inside", "."),
            (Path("/"), tree / "inside"),
            (tree, f"{tree}/inside/"),
        ):
            given = options(root)
            results.append(answer(send, create_environ(), directory, path, **given))
    assert results[:4] == results[4:]
    assert b"secret" not in {body for _, _, body in results}
    assert {status for status, _, _ in results} <= {"200 OK", "NotFound"}


@given(path=PATHS)
def test_a_harmless_path_is_one_that_safe_join_leaves_alone(path: str) -> None:
    if files._is_harmless(path):
        assert safe_join("/directory", path) == f"/directory/{path}"


@pytest.mark.parametrize("directory", ["inside", "inside/"])
def test_the_age_is_asked_for_by_the_path_as_werkzeug_joins_it(tree: Path, directory: str) -> None:
    asked: list[str | None] = []
    given = options(tree, max_age=asked.append)
    for send in (files.send_from_directory, werkzeug.utils.send_from_directory):
        answer(send, create_environ(), directory, "sub/b.txt", **given)
    assert asked == [f"{tree}/inside/sub/b.txt"] * 2


def test_a_directory_may_be_a_member_of_an_enumeration(tree: Path) -> None:
    class Folder(str, enum.Enum):  # noqa: UP042 (str(Folder.INSIDE) is not "inside")
        INSIDE = "inside"

    for send in (files.send_from_directory, werkzeug.utils.send_from_directory):
        assert (
            answer(send, create_environ(), Folder.INSIDE, "a.txt", **options(tree))[2] == b"a.txt"
        )


def test_an_option_that_there_is_not_is_an_error(tree: Path) -> None:
    given = options(tree, attachment_filename="b.txt")
    with pytest.raises(TypeError, match="attachment_filename"):
        files.send_from_directory("inside", "a.txt", create_environ(), **given)


def test_a_directory_is_not_a_file(tree: Path) -> None:
    with pytest.raises(NotFound):
        files.send_from_directory("inside", "sub", create_environ(), **options(tree))


def test_a_subclass_of_the_response_is_made_by_werkzeug(tree: Path) -> None:
    class Other(Response):
        pass

    given = options(tree, response_class=Other)
    with files.send_from_directory("inside", "a.txt", create_environ(), **given) as response:
        assert type(response) is Other


@pytest.mark.usefixtures("protocol")
def test_a_static_file_is_sent_by_the_app(tree: Path) -> None:
    app = Flask("app", root_path=str(tree), static_folder="inside")
    with app.test_client().get("/inside/sub/b.txt") as response:
        assert (response.status_code, response.get_data()) == (200, b"sub/b.txt")
        assert response.headers["Cache-Control"] == "no-cache"
    assert app.test_client().get("/inside/../secret.txt").status_code == 404


def test_headers_stay_in_order() -> None:
    """What proxies and tests that print responses see."""
    app = Flask("app", root_path=os.path.dirname(__file__), static_folder=".", static_url_path="/s")
    with app.test_client().get(f"/s/{Path(__file__).name}") as response:
        assert isinstance(response.headers, Headers)
        assert [name for name, _ in response.headers] == [
            "Content-Disposition",
            "Content-Type",
            "Content-Length",
            "Last-Modified",
            "Cache-Control",
            "ETag",
            "Date",
            "Accept-Ranges",
        ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("style.css", 200),
        ("./style.css", 200),
        ("../static/style.css", 404),
        ("C:/static/style.css", 404),
        (r"..\static\style.css", 404),
        (r"\static\style.css", 404),
        ("//host/share/style.css", 404),
        ("sub/nul.css", 404),
        ("CON", 404),
    ],
)
def test_on_windows_each_path_is_judged_by_werkzeug(
    root: Path, monkeypatch: pytest.MonkeyPatch, path: str, status: int
) -> None:
    """Which knows its drives, devices and backslashes: all these files are there, if one asks."""
    for name in ("nul.css", "C:/static/style.css", r"..\static\style.css", "CON"):
        file = root / ("sub/" if name == "nul.css" else "") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a file on Linux")
    windows = types.SimpleNamespace(name="nt", path=ntpath)
    monkeypatch.setattr("werkzeug.security.os", windows)
    monkeypatch.setattr("werkzeug.security._os_alt_seps", ["\\"])
    monkeypatch.setattr(files, "_POSIX", False)
    app = Flask("tests", root_path=str(root))
    with app.test_request_context():
        try:
            answer = torsyq.send_from_directory(root, path)
        except NotFound:
            assert status == 404
        else:
            assert (answer.status_code, status) == (200, 200)
            answer.close()


@pytest.mark.parametrize("framework", [flask, torsyq])
@pytest.mark.parametrize("name", ["send_file", "send_from_directory"])
def test_what_stands_in_for_werkzeug_s_function_sends_the_files(
    root: Path, monkeypatch: pytest.MonkeyPatch, framework: t.Any, name: str
) -> None:
    """As tests of apps and extensions have it: no file is looked for, and the stand-in answers."""
    app = framework.Flask("tests", static_folder=root, static_url_path="/static")
    app.add_url_rule("/file", "file", lambda: framework.send_file(root / "style.css"))
    calls: list[t.Any] = []

    def stand_in(*args: t.Any, **given: t.Any) -> t.Any:
        calls.append((len(args), sorted(given)))
        return framework.Response("from the stand-in")

    monkeypatch.setattr(werkzeug.utils, name, stand_in)
    client = app.test_client()
    if name == "send_file":
        assert client.get("/static/missing.css").status_code == 404
        assert client.get("/file").text == "from the stand-in"
    else:
        assert client.get("/static/missing.css").text == "from the stand-in"
    assert client.get("/static/style.css").text == "from the stand-in"
    monkeypatch.undo()
    # Werkzeug's own finds the file in the directory and passes it on.
    assert [count for count, _ in calls] == ([0, 2] if name == "send_file" else [2, 2])
    known = {"_root_path", "max_age", "response_class", "use_x_sendfile"}
    assert all(known <= set(given) for _, given in calls)
