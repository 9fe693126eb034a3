"""Write down what a package offers: modules, names, signatures, attributes, defaults.

Facts only, read from the imported package and not from its text. The result for the real Flask
is stored beside the tests, which describe Torsyq the same way and compare::

    python scripts/inventory.py flask > tests/inventory/flask-3.1.3.json
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import typing as t
from importlib.metadata import version
from pathlib import Path

Facts: t.TypeAlias = dict[str, t.Any]

SIMPLE = (str, int, float, bool, bytes, type(None))
# Names that only the module's own text uses.
NOT_OFFERED = {"annotations", "t"}
# What a class does by a special method is part of what it offers.
SPECIAL = {"__init__", "__call__", "__enter__", "__exit__", "__contains__", "__iter__"}


def describe(package: str, like: Facts | None = None) -> Facts:
    """All there is to know about a package that looks like Flask.

    :param like: another package's inventory: only what is in it is described.
    """
    modules = {}
    for name in like["modules"] if like else module_names(package):
        names = like["modules"][name] if like else names_of(package, name)
        module = importlib.import_module(package + name)
        modules[name] = {
            key: describe_value(getattr(module, key), package)
            for key in names
            if hasattr(module, key)
        }
    return {
        "modules": modules,
        "instances": describe_instances(package),
        "config": describe_config(package),
        "commands": describe_commands(package),
    }


def module_names(package: str) -> list[str]:
    """The package's public modules, by their names below the package; ``""`` is the package."""
    root = Path(importlib.import_module(package).__path__[0])
    names = [".".join(path.relative_to(root).with_suffix("").parts) for path in root.rglob("*.py")]
    names = [name.removesuffix("__init__").removesuffix(".") for name in names]
    return sorted(f".{name}" if name else "" for name in names if not re.search(r"\b_", name))


def names_of(package: str, name: str) -> list[str]:
    """The names a module defines; on the package's face those it passes on."""
    module = importlib.import_module(package + name)
    names = [key for key in dir(module) if not key.startswith("__") and key not in NOT_OFFERED]
    if name == "":
        return names
    return [key for key in names if belongs(key, getattr(module, key), package, module.__name__)]


def is_proxy(value: object) -> bool:
    # Not isinstance(), which a proxy answers for what it stands for.
    return any(cls.__name__ == "LocalProxy" for cls in type(value).__mro__)


def is_function(value: object) -> bool:
    # Descriptors that compute attributes are routines to inspect, but can't be called.
    routine = inspect.isroutine(value) and callable(value)
    return routine or type(value).__name__ == "_lru_cache_wrapper"


def belongs(key: str, value: object, package: str, module: str) -> bool:
    """Whether a module defines the value itself, and did not get it from another."""
    if inspect.ismodule(value):
        return False
    if not is_proxy(value) and (inspect.isclass(value) or is_function(value)):
        return getattr(value, "__module__", None) == module
    # Other objects do not tell where they are from: the lowest floor that has one is its home.
    homes = [f"{package}.globals", f"{package}.signals"]
    return module in homes or not any(key in vars(sys.modules[home]) for home in homes)


def describe_value(value: object, package: str) -> Facts:
    """What kind of thing a name stands for, and the particulars of that kind."""
    if is_proxy(value):
        return {"kind": "proxy"}
    if inspect.isclass(value):
        return {"kind": "class", **describe_class(value, package)}
    if is_function(value):
        return {"kind": "function", "signature": describe_signature(value)}
    if inspect.ismodule(value):
        return {"kind": "module"}
    if type(value).__module__ in {"typing", "types"}:
        return {"kind": "type"}
    if isinstance(value, SIMPLE):
        return {"kind": "value", "value": repr(value)}
    return {"kind": "object"}


def describe_class(cls: type, package: str) -> Facts:
    """A class's attributes, its own and those of its bases that the package defines."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] == package:
            names.update(vars(base))
    public = {name for name in names if not name.startswith("_") or name in SPECIAL}
    return {"attributes": {name: describe_attribute(cls, name) for name in sorted(public)}}


def describe_attribute(cls: type, name: str) -> Facts:
    """A method with its signature, a property, or a class attribute with its default."""
    static = inspect.getattr_static(cls, name)
    value = getattr(cls, name)
    for kind, of in {"classmethod": classmethod, "staticmethod": staticmethod}.items():
        if isinstance(static, of):
            return {"kind": kind, "signature": describe_signature(value)}
    if inspect.isclass(value):
        return {"kind": "class", "name": value.__name__}
    if is_function(value):
        return {"kind": "method", "signature": describe_signature(value)}
    if hasattr(value, "__get__"):
        return {"kind": "property"}
    return describe_default(value)


def describe_default(value: object) -> Facts:
    """A default: itself where it has a short and stable form, its type otherwise."""
    if isinstance(value, SIMPLE):
        return {"kind": "value", "value": repr(value)}
    return {"kind": "value", "type": type(value).__name__}


def describe_signature(function: t.Any) -> list[str]:
    """Each parameter as it is written, without its type; ``*, `` marks one given by name only."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return []
    return [describe_parameter(parameter) for parameter in parameters]


def describe_parameter(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if default is not inspect.Parameter.empty and not isinstance(default, (*SIMPLE, tuple)):
        parameter = parameter.replace(default=Ellipsis)
    keyword = "*, " if parameter.kind is inspect.Parameter.KEYWORD_ONLY else ""
    return f"{keyword}{parameter.replace(annotation=inspect.Parameter.empty)}"


def describe_instances(package: str) -> dict[str, list[str]]:
    """The public attributes that objects have once they are made."""
    flask = importlib.import_module(package)
    app = flask.Flask("inventory", root_path="/")
    blueprint = flask.Blueprint("inventory", "inventory", root_path="/")
    made = {
        "Flask": app,
        "Blueprint": blueprint,
        "BlueprintSetupState": blueprint.make_setup_state(app, {}),
        "Config": app.config,
        "AppContext": app.app_context(),
        "RequestContext": (context := app.test_request_context()),
        "Request": context.request,
        "Response": app.response_class(),
        "FlaskClient": app.test_client(),
        "FlaskCliRunner": app.test_cli_runner(),
        "ScriptInfo": importlib.import_module(f"{package}.cli").ScriptInfo(),
    }
    return {name: public_attributes(one) for name, one in made.items()}


def public_attributes(one: object) -> list[str]:
    return sorted(name for name in {*dir(one), *vars(one)} if not name.startswith("_"))


def describe_config(package: str) -> dict[str, str]:
    """The default configuration."""
    flask = importlib.import_module(package)
    return {key: repr(value) for key, value in sorted(flask.Flask.default_config.items())}


def describe_commands(package: str) -> dict[str, list[Facts]]:
    """The parameters of the command line and its commands."""
    cli = importlib.import_module(f"{package}.cli")
    group = cli.FlaskGroup(name="flask")
    commands = {"": group, **{name: group.get_command(None, name) for name in group.commands}}
    return {name: describe_command(command) for name, command in sorted(commands.items())}


def describe_command(command: t.Any) -> list[Facts]:
    return [
        {
            "name": option.name,
            "options": [*option.opts, *option.secondary_opts],
            "default": repr(option.default) if isinstance(option.default, SIMPLE) else None,
            "flag": getattr(option, "is_flag", False),
            "multiple": option.multiple,
        }
        for option in command.params
    ]


def lines(facts: t.Any, depth: int = 0) -> t.Iterator[str]:
    """JSON with a line for each name and attribute, so that a change shows as a line."""
    text = json.dumps(facts, sort_keys=True)
    if not isinstance(facts, dict) or len(text) + depth < 100:
        yield text
        return
    yield "{"
    for number, key in enumerate(sorted(facts), 1):
        first, *more = lines(facts[key], depth + 1)
        more = [f"{json.dumps(key)}: {first}", *more]
        more[-1] += "," if number < len(facts) else ""
        yield from (" " + line for line in more)
    yield "}"


def main(package: str) -> None:
    """Print the inventory of an installed package as JSON, with its version."""
    facts = {"package": package, "version": version(package), **describe(package)}
    print("\n".join(lines(facts)))


if __name__ == "__main__":
    main(*sys.argv[1:])
