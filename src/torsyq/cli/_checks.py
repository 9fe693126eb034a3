"""Whether a server could start with what it was told: the address, the certificate."""

from __future__ import annotations

import errno
import os
import socket

import click


def check_address(host: str, port: int) -> tuple[str, int]:
    """Bind to the address for a moment.

    Granian lets several servers share a port, so a server that was forgotten, or another
    program, would take a part of the requests without a word.

    :param host: the interface to bind to
    :param port: the port to bind to; 0 lets the system choose
    :return: the number that the name of a host stands for, of IPv4 if it has one; and the port
    :raises click.ClickException: it cannot be bound; says why
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                # What a server stopped a moment ago leaves behind is no obstacle.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return str(address[0]), probe.getsockname()[1]
    except OSError as error:
        raise click.ClickException(
            f"The server cannot listen on {host} port {port}: {error.strerror or error}."
            f" {_remedy(error)}"
        ) from None


def _remedy(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return (
            "That is no address of this machine. With --host 127.0.0.1 it alone reaches the"
            " server, with 0.0.0.0 others do, too."
        )
    if error.errno == errno.EACCES:
        return "Ports below 1024 are often the system's alone: choose another with --port."
    return "If another program is using the port, stop it or choose another with --port."


def check_certificate(certificate: str, key: str) -> None:
    """Read the certificate and its key.

    :param certificate: the file of the certificate, with those it was signed by
    :param key: the file of its key, not encrypted
    :raises click.ClickException: they cannot be used together
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty password: a key that wants one fails here instead of asking at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise click.ClickException(
            f"The certificate {certificate!r} cannot be used with the key {key!r}: {error}."
            " Both must be PEM files, the key must belong to the certificate and not be encrypted."
        ) from None
