"""The values ``flask run`` takes that Click has no type for: certificates, lists of paths."""

from __future__ import annotations

import typing as t

import click
from werkzeug.utils import import_string

if t.TYPE_CHECKING:
    import ssl


class CertParamType(click.ParamType):  # type: ignore[type-arg]  # generic since Click 8.2 only
    """``--cert``: a file, the word ``adhoc``, or the import name of an ``ssl.SSLContext``."""

    name = "path"

    def __init__(self) -> None:
        self.path_type = click.Path(exists=True, dir_okay=False, resolve_path=True)

    def convert(
        self, value: t.Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> t.Any:
        """Return the file's path, ``"adhoc"`` or the SSL context.

        :raises click.BadParameter: it is none of these, or a library for it is missing
        """
        context_type = _ssl_context_type(param, ctx)
        try:
            return self.path_type(value, param, ctx)
        except click.BadParameter:
            word = click.STRING(value, param, ctx)
            if word.lower() == "adhoc":
                _need_cryptography(param, ctx)
                return "adhoc"
            found = import_string(word, silent=True)
            if isinstance(found, context_type):
                return found
            raise


def _ssl_context_type(
    param: click.Parameter | None, ctx: click.Context | None
) -> type[ssl.SSLContext]:
    try:
        import ssl
    except ImportError:
        raise click.BadParameter(
            'Using "--cert" requires Python to be compiled with SSL support.', ctx, param
        ) from None
    return ssl.SSLContext


def _need_cryptography(param: click.Parameter | None, ctx: click.Context | None) -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise click.BadParameter(
            "Using ad-hoc certificates requires the cryptography library.", ctx, param
        ) from None


def _validate_key(ctx: click.Context, param: click.Parameter, value: t.Any) -> t.Any:
    """Check ``--key`` against ``--cert`` and join the two into one value of ``cert``.

    ``--cert`` is eager, so it is there whatever the order on the command line.

    :raises click.BadParameter: one is there without the other, or the key has no use
    """
    cert = ctx.params.get("cert")
    in_memory = _certificate_without_key(cert)

    if value is not None:
        if in_memory is not None:
            raise click.BadParameter(
                f'When "--cert" is {in_memory}, "--key" is not used.', ctx, param
            )
        if not cert:
            raise click.BadParameter('"--cert" must also be specified.', ctx, param)
        ctx.params["cert"] = cert, value
    elif cert and in_memory is None:
        raise click.BadParameter('Required when using "--cert".', ctx, param)
    return value


def _certificate_without_key(cert: t.Any) -> str | None:
    """Say what a certificate is that brings its own key; ``None`` for a file or nothing."""
    if cert == "adhoc":
        return '"adhoc"'
    # A text is a path. Anything else came out of CertParamType, which found ssl to be there.
    return None if cert is None or isinstance(cert, str) else "an SSLContext object"


class SeparatedPathType(click.Path):
    """Several paths in one value, separated by ``:`` (``;`` on Windows)."""

    def convert(
        self, value: t.Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> t.Any:
        """Return the list of paths, each converted as :class:`click.Path` does."""
        return [
            super(SeparatedPathType, self).convert(item, param, ctx)
            for item in self.split_envvar_value(value)
        ]
