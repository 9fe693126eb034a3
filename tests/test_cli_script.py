"""What every command shares: the app, loaded once, and its context."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from torsyq import current_app
from torsyq import Flask
from torsyq import has_app_context
from torsyq.cli import AppGroup
from torsyq.cli import NoAppException
from torsyq.cli import ScriptInfo
from torsyq.cli import with_appcontext
from torsyq.cli._script import named_app

pytestmark = pytest.mark.usefixtures("untouched_process")


def create_app(suffix: str = "", *, debug: bool = False) -> Flask:
    return Flask(f"made{suffix}{debug or ''}")


def test_the_app_is_loaded_once() -> None:
    info = ScriptInfo(create_app=create_app)
    assert info.load_app() is info.load_app()


def test_the_app_is_loaded_from_its_import_path(project: Path) -> None:
    (project / "src").mkdir()
    (project / "src" / "shop.py").write_text(
        "from torsyq import Flask\ndef make(name): return Flask(name)\n"
    )
    assert ScriptInfo("src/shop.py:make('a:b')").load_app().name == "a:b"


@pytest.mark.parametrize("name", ["wsgi.py", "app.py"])
def test_without_a_path_the_usual_files_are_tried(project: Path, name: str) -> None:
    (project / name).write_text("from torsyq import Flask\nfound = Flask('usual')\n")
    sys.modules.pop(name.removesuffix(".py"), None)
    assert ScriptInfo().load_app().name == "usual"


def test_no_app_anywhere(project: Path) -> None:
    with pytest.raises(NoAppException) as caught:
        ScriptInfo().load_app()
    assert caught.value.message == (
        "Could not locate a Flask application. Use the 'flask --app' option, 'FLASK_APP'"
        " environment variable, or a 'wsgi.py' or 'app.py' file in the current directory."
    )


@pytest.mark.parametrize(("set_flag", "debug"), [(True, True), (False, False)])
def test_debug_is_written_to_the_app_unless_told_not_to(set_flag: bool, debug: bool) -> None:
    os.environ["FLASK_DEBUG"] = "1"

    def create() -> Flask:
        app = Flask("made")
        app.debug = False
        return app

    assert ScriptInfo(create_app=create, set_debug_flag=set_flag).load_app().debug is debug


def test_the_app_may_be_named_before_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    command = click.Command("any")
    assert named_app(click.Context(command, obj=ScriptInfo("wiki:app"))) == "wiki:app"
    monkeypatch.setenv("FLASK_APP", "other:app")
    assert named_app(click.Context(command)) == "other:app"


def test_with_appcontext_pushes_the_app_until_the_command_ends(runner: CliRunner) -> None:
    ended: list[BaseException | None] = []
    app = Flask("context")
    app.teardown_appcontext(ended.append)

    @click.command()
    @with_appcontext
    def show() -> None:
        """Show it."""
        click.echo(f"{current_app.name} {ended}")

    result = runner.invoke(show, obj=ScriptInfo(create_app=lambda: app))
    assert (result.output, ended) == ("context []\n", [None])
    assert show.help == "Show it."


def test_with_appcontext_uses_the_context_that_is_there(app: Flask, runner: CliRunner) -> None:
    @click.command()
    @with_appcontext
    def show() -> None:
        click.echo(current_app.name)

    with app.app_context():
        result = runner.invoke(show, obj=ScriptInfo(create_app=create_app))
    assert result.output == f"{app.name}\n"


def test_an_app_group_wraps_its_commands_and_its_groups_do_too(runner: CliRunner) -> None:
    group = AppGroup("group")

    @group.command()
    def inside() -> None:
        click.echo(current_app.name)

    @group.command(with_appcontext=False)
    def outside() -> None:
        click.echo(has_app_context())

    @group.group()
    def sub() -> None:
        pass

    @sub.command("deep")
    def deep() -> None:
        click.echo(current_app.name)

    @group.group(cls=click.Group)
    def plain() -> None:
        pass

    def output(*args: str) -> str:
        return runner.invoke(group, args, obj=ScriptInfo(create_app=create_app)).output

    assert output("inside") == "made\n"
    assert output("outside") == "False\n"
    assert output("sub", "deep") == "made\n"
    assert (type(sub), type(plain)) == (AppGroup, click.Group)


def test_a_command_may_be_async(runner: CliRunner) -> None:
    app = create_app()
    loops = set()

    @app.cli.command()
    @click.argument("name")
    async def greet(name: str) -> None:
        await asyncio.sleep(0)
        loops.add(asyncio.get_running_loop())
        click.echo(f"{name} of {current_app.name}")

    @click.command()
    @with_appcontext
    @click.pass_context
    async def other(ctx: click.Context) -> None:
        await asyncio.sleep(0)
        loops.add(asyncio.get_running_loop())
        click.echo(f"{ctx.info_name} of {current_app.name}")

    info = ScriptInfo(create_app=lambda: app)
    assert runner.invoke(app.cli, ["greet", "Aizhan"], obj=info).output == "Aizhan of made\n"
    assert runner.invoke(other, obj=info).output == "other of made\n"
    assert len(loops) == 1
