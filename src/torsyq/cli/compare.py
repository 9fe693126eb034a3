"""``torsyq compare``: one unedited app on Flask and on Torsyq, the same requests, what differs."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import typing as t

import click

from ..doors import path as doors_path
from ._compare_diff import Difference
from ._compare_diff import differences
from ._compare_diff import excuse
from ._script import encodable
from ._script import named_app

if t.TYPE_CHECKING:
    Account = dict[str, t.Any]
    Record = dict[str, t.Any]

CHILD = pathlib.Path(__file__).with_name("_compare_child.py")
_NOTHING = (
    "There is nothing to compare: the app has no route that answers GET and takes no arguments."
    " Usually it registers its routes later, in a function that its own start command calls: name"
    " one that returns the finished app ('--app hello:create_app'), or record requests"
    " (--requests)."
)
MAKERS = {"flask": "flask.app", "torsyq": "torsyq.app"}


@dataclasses.dataclass
class Compared:
    """One request, what differed in its two answers, and the median times in milliseconds."""

    request: str
    differences: list[Difference]
    flask_ms: float | None = None
    torsyq_ms: float | None = None

    @property
    def different(self) -> bool:
        return any(not difference.explained for difference in self.differences)

    @property
    def ratio(self) -> float | None:
        return self.flask_ms / self.torsyq_ms if self.flask_ms and self.torsyq_ms else None


@click.command("compare")
@click.option(
    "-A", "--app", "app_import", metavar="IMPORT", help="The app, as for the other commands."
)
@click.option(
    "--requests",
    "requests_file",
    type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path),
    help="More requests, one JSON object a line: method, path, headers, body (or body_base64).",
)
@click.option(
    "--before", metavar="COMMAND", help="Run before each side, to put data back as it was."
)
@click.option(
    "--repeat",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    help="Times each GET is timed; 0 for none.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds each side may take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def compare_command(
    ctx: click.Context,
    app_import: str | None,
    requests_file: pathlib.Path | None,
    before: str | None,
    repeat: int,
    timeout: float,
    as_json: bool,
) -> None:
    """Run the app on Flask and on Torsyq and compare the answers.

    Both get a GET to every route without arguments, then the recorded requests in order, keeping
    cookies as a browser would. Status, headers, cookies, and body are compared. The exit status is
    1 when they differ in something that does not explain itself.
    """
    name = app_import or named_app(ctx)
    records = read_requests(requests_file) if requests_file else []
    sides = _Sides(name, records, repeat, timeout, before)
    results = sides.compare()
    click.echo(as_data(name, results) if as_json else encodable(as_text(name, results)))
    ctx.exit(int(any(result.different for result in results)))


def read_requests(file: pathlib.Path) -> list[Record]:
    """Read recorded requests, one JSON object a line; empty lines and ``#`` lines are skipped.

    :raises click.UsageError: a line is no JSON object with a path, naming the line
    """
    records = []
    # Not splitlines(): within a string, JSON may have U+2028 and the like as they are.
    for number, line in enumerate(file.read_text("utf-8").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            record = json.loads(line)
            if not record["path"].startswith("/"):
                raise ValueError("'path' has to begin with '/'")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise click.UsageError(
                f"{file}, line {number}: {error}. A request is a JSON object with at least"
                ' "path", as in {"method": "POST", "path": "/login", "body": "name=ada"}.'
            ) from None
        records.append(record)
    return records


class _Sides:
    """The two child processes: who they are asked to be, and what came back."""

    def __init__(
        self,
        app: str | None,
        records: list[Record],
        repeat: int,
        timeout: float,
        before: str | None,
    ) -> None:
        self.app = app
        self.records = records
        self.repeat = repeat
        self.timeout = timeout
        self.before = before

    def compare(self) -> list[Compared]:
        """Ask both; where they differ ask Flask once more, to see what differs by itself.

        :raises click.ClickException: there is nothing to ask them, or see :meth:`account`
        """
        flask, torsyq = self.account("flask"), self.account("torsyq")
        results = self.results(flask, torsyq)
        if not results:
            raise click.ClickException(_NOTHING)
        if any(result.different for result in results):
            again = self.results(flask, self.account("flask", repeat=0))
            for result, noise in zip(results, again, strict=False):
                result.differences = excuse(result.differences, noise.differences)
        return results

    def results(self, flask: Account, torsyq: Account) -> list[Compared]:
        if flask["rules"] != torsyq["rules"]:
            difference = Difference("rules", "", repr(flask["rules"]), repr(torsyq["rules"]))
            return [Compared("the routes", [difference])]
        labels = [f"GET {path}" for path in flask["rules"]]
        labels += [f"{record.get('method', 'GET')} {record['path']}" for record in self.records]
        results = []
        for label, one, other in zip(labels, flask["answers"], torsyq["answers"], strict=True):
            results.append(Compared(label, differences(one, other, flask["session_cookie"])))
        for result, one, other in zip(results, flask["times"], torsyq["times"], strict=False):
            result.flask_ms, result.torsyq_ms = one, other
        return results

    def account(self, side: str, repeat: int | None = None) -> Account:
        """Run one side to its end and read what it wrote.

        :raises click.ClickException: the app did not load, took too long, or the side is missing;
            or what was to run before it failed
        """
        self._prepare(side)
        repeat = self.repeat if repeat is None else repeat
        job = {"app": self.app, "maker": MAKERS[side], "requests": self.records, "repeat": repeat}
        with tempfile.TemporaryDirectory() as folder:
            job_file, account_file = pathlib.Path(folder, "job"), pathlib.Path(folder, "account")
            job_file.write_text(json.dumps(job))
            self._run(side, [str(job_file), str(account_file)])
            if not account_file.exists():
                raise click.ClickException(
                    f"On {side.title()} the app has ended the process before all was answered."
                    " Usually a route stops the server, with 'os._exit' or a signal."
                )
            account: Account = json.loads(account_file.read_text())
        if "wrong_maker" in account:
            raise click.ClickException(_wrong_maker(side, account["wrong_maker"]))
        if "no_app" in account:
            raise click.ClickException(_no_app(side, account))
        return account

    def _prepare(self, side: str) -> None:
        if not self.before:
            return
        try:
            # Windows parts a command itself, and a backslash in it is only a backslash.
            command = self.before if os.name == "nt" else shlex.split(self.before)
            subprocess.run(command, env=_environment(side), check=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise click.ClickException(f"The command of --before failed: {error}") from None

    def _run(self, side: str, args: list[str]) -> None:
        # -P: or this folder would come first on the path and its file names hide other modules.
        command = [sys.executable, "-P", str(CHILD), *args]
        try:
            done = subprocess.run(
                command,
                env=_environment(side),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="backslashreplace",
                timeout=self.timeout,
            )
        except subprocess.TimeoutExpired:
            raise click.ClickException(
                f"On {side.title()} the app had not answered after {self.timeout:g} seconds."
                " A route that never ends its answer? --timeout gives it longer."
            ) from None
        if done.returncode:
            raise click.ClickException(
                f"On {side.title()} the app could not be run:\n{done.stderr}"
            )


def _environment(side: str) -> dict[str, str]:
    """This process's environment with the doors open, or shut."""
    doors = doors_path()
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = [entry for entry in inherited if entry and entry != doors]
    if side == "torsyq":
        path.insert(0, doors)
    # One seed: the order of sets is no difference between frameworks.
    return os.environ | {"PYTHONPATH": os.pathsep.join(path), "PYTHONHASHSEED": "0"}


def _wrong_maker(side: str, maker: str) -> str:
    if side == "flask":
        return (
            "The real Flask is not installed beside Torsyq, so there is nothing to compare with."
            # Otherwise pip would be content with the metadata behind the doors.
            " Install it with: pip install --ignore-installed --no-deps flask==3.1.3"
        )
    return (
        f"With the doors open 'import flask' gave {maker}: something puts Flask first on the path."
    )


def _no_app(side: str, account: Account) -> str:
    message = f"On {side.title()} there is no app: {account['no_app']}"
    if side == "flask" and account["imports_torsyq"]:
        message += (
            "\nIt imports 'torsyq' under that name, so it runs on nothing else. Only an app that"
            " says 'import flask' can be compared."
        )
    return message


def as_text(name: str | None, results: list[Compared]) -> str:
    """The report a person reads."""
    lines = [f"{name or 'the app'}: {len(results)} requests on Flask and on Torsyq", ""]
    width = max((len(result.request) for result in results), default=0)
    for result in results:
        verdict = "DIFFERENT" if result.different else "same"
        lines.append(f"{result.request:<{width}}  {verdict:<9}{_times(result)}".rstrip())
        lines += [f"    {difference}" for difference in result.differences]
    return "\n".join([*lines, "", _summary(results)])


def _times(result: Compared) -> str:
    if result.ratio is None:
        return ""
    return f"  {result.flask_ms:8.3f} ms {result.torsyq_ms:8.3f} ms  {result.ratio:5.1f} x"


def _summary(results: list[Compared]) -> str:
    different = sum(result.different for result in results)
    explained = sum(bool(result.differences) for result in results) - different
    text = f"{different} different, {explained} with differences that explain themselves,"
    text += f" {len(results) - different - explained} the same."
    ratio = median_ratio(results)
    return f"{text} Torsyq answered {ratio:.1f} times as fast (median)." if ratio else text


def median_ratio(results: list[Compared]) -> float | None:
    """How many times as fast Torsyq answered: the median over the requests that were timed."""
    ratios = [result.ratio for result in results if result.ratio is not None]
    return statistics.median(ratios) if ratios else None


def as_data(name: str | None, results: list[Compared]) -> str:
    """The same report as JSON."""
    rows = [
        dataclasses.asdict(result) | {"different": result.different, "ratio": result.ratio}
        for result in results
    ]
    different = sum(result.different for result in results)
    ratio = median_ratio(results)
    return json.dumps(
        {"app": name, "requests": rows, "different": different, "ratio": ratio}, indent=2
    )
