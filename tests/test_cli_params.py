"""Certificates, keys and lists of paths as values of options."""

from __future__ import annotations

import os
import ssl
import sys
import types
import typing as t

import click
import pytest

from torsyq.cli import run_command
from torsyq.cli import SeparatedPathType


def module(name: str = "wiki", **names: t.Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(names)
    return made


def cert_of(*args: str) -> t.Any:
    return run_command.make_context("run", list(args)).params["cert"]


def test_certificate_and_key_become_one_value_in_any_order() -> None:
    assert cert_of("--cert", __file__, "--key", __file__) == (__file__, __file__)
    assert cert_of("--key", __file__, "--cert", __file__) == (__file__, __file__)
    assert cert_of() is None


def test_a_certificate_made_up_for_the_occasion() -> None:
    assert cert_of("--cert", "AdHoc") == "adhoc"


def test_a_context_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    monkeypatch.setitem(sys.modules, "Certs", module("Certs", context=context))
    assert cert_of("--cert", "Certs:context") is context


@pytest.mark.parametrize(
    ("args", "hidden", "message"),
    [
        (["--cert", __file__], None, 'Required when using "--cert".'),
        (["--key", __file__], None, '"--cert" must also be specified.'),
        (
            ["--cert", "adhoc", "--key", __file__],
            None,
            'When "--cert" is "adhoc", "--key" is not used.',
        ),
        (
            ["--cert", "in_memory", "--key", __file__],
            None,
            'When "--cert" is an SSLContext object, "--key" is not used.',
        ),
        (["--cert", "not_there"], None, "File 'not_there' does not exist."),
        (["--cert", "os"], None, "File 'os' does not exist."),
        (
            ["--cert", "adhoc"],
            "cryptography",
            "Using ad-hoc certificates requires the cryptography library.",
        ),
        (
            ["--cert", "adhoc"],
            "ssl",
            'Using "--cert" requires Python to be compiled with SSL support.',
        ),
    ],
)
def test_why_a_certificate_is_refused(
    monkeypatch: pytest.MonkeyPatch, args: list[str], hidden: str | None, message: str
) -> None:
    in_memory: t.Any = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    monkeypatch.setitem(sys.modules, "in_memory", in_memory)
    if hidden is not None:
        monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(click.BadParameter) as caught:
        cert_of(*args)
    assert caught.value.message == message


def test_a_list_of_paths() -> None:
    value = os.pathsep.join(["a", "b/c"])
    assert SeparatedPathType().convert(value, None, None) == ["a", "b/c"]
    with pytest.raises(click.BadParameter, match="does not exist"):
        SeparatedPathType(exists=True).convert(f"{__file__}{os.pathsep}nope", None, None)
