"""A body that is still on its way, as a file and as an async iterator."""

from __future__ import annotations

import asyncio
import io
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import ClientDisconnected

from torsyq.incoming import Incoming

from .asgi import Exchange

pieces = st.lists(st.binary(max_size=6) | st.sampled_from([b"\n", b"a\nb\n"]), max_size=6)


def arriving(pieces: list[bytes], begun: bytes = b"") -> tuple[Exchange, Incoming]:
    it = Exchange(None, {})  # type: ignore[arg-type]
    for piece in pieces:
        it.tell(piece, more=True)
    it.tell(b"")
    return it, Incoming(it.receive, io.BytesIO(begun))


def in_thread(pieces: list[bytes], begun: bytes, read: t.Callable[[t.Any], t.Any]) -> t.Any:
    """What *read* makes of a body, in a worker thread as sync views run."""

    async def run() -> t.Any:
        return await asyncio.to_thread(read, arriving(pieces, begun)[1])

    return asyncio.run(run())


READS: list[t.Callable[[t.Any], t.Any]] = [
    lambda file: file.read(),
    lambda file: [file.readline(None), file.read(None)],
    lambda file: [file.read(3), file.read(0), file.read(2), file.read(-1), file.read(5)],
    lambda file: list(file),
    lambda file: [file.readline(), file.readline(2), file.readline(0), file.read()],
    lambda file: list(iter(lambda: file.read(4), b"")),
]


@pytest.mark.parametrize("read", READS)
@given(pieces=pieces, begun=st.binary(max_size=5))
def test_it_reads_as_a_file_does(
    read: t.Callable[[t.Any], t.Any], pieces: list[bytes], begun: bytes
) -> None:
    whole = io.BytesIO(begun + b"".join(pieces))
    assert in_thread(pieces, begun, read) == read(whole)


@given(pieces=pieces, begun=st.binary(max_size=5))
def test_its_pieces_are_the_body(pieces: list[bytes], begun: bytes) -> None:
    async def run() -> bytes:
        _, incoming = arriving(pieces, begun)
        got = []
        while piece := await incoming.next_piece():
            got.append(piece)
        assert incoming.has_ended
        return b"".join(got)

    assert asyncio.run(run()) == begun + b"".join(pieces)


def test_what_was_read_in_part_is_not_lost() -> None:
    async def run() -> None:
        _, incoming = arriving([b"abcdef"])
        assert await asyncio.to_thread(incoming.read, 2) == b"ab"
        assert await incoming.next_piece() == b"cdef"

    asyncio.run(run())


def test_nothing_is_received_before_it_is_read() -> None:
    async def run() -> None:
        it, incoming = arriving([b"one", b"two"])
        assert it.received == 0
        assert await incoming.next_piece() == b"one"
        assert it.received == 1

    asyncio.run(run())


def test_the_end_is_told_once() -> None:
    ends = []

    async def run() -> None:
        _, incoming = arriving([b"one"])
        incoming.on_end = lambda: ends.append("end")
        while await incoming.next_piece():
            assert ends == []
        assert await incoming.next_piece() == b""

    asyncio.run(run())
    assert ends == ["end"]


def test_a_client_that_goes_away_is_an_error_for_both() -> None:
    async def run() -> None:
        it = Exchange(None, {})  # type: ignore[arg-type]
        it.disconnect()
        it.disconnect()
        incoming = Incoming(it.receive)
        with pytest.raises(ClientDisconnected):
            await incoming.next_piece()
        with pytest.raises(ClientDisconnected):
            await asyncio.to_thread(incoming.read)

    asyncio.run(run())


def test_nothing_is_asked_of_a_server_whose_client_went_away() -> None:
    """Some would say nothing any more, and whoever asked again would wait for ever."""

    async def run() -> None:
        it = Exchange(None, {})  # type: ignore[arg-type]
        incoming = Incoming(it.receive)
        it.disconnect()
        for read in incoming.read, incoming.readline:
            with pytest.raises(ClientDisconnected):
                await asyncio.wait_for(asyncio.to_thread(read), 5)
        with pytest.raises(ClientDisconnected):
            await asyncio.wait_for(incoming.next_piece(), 5)
        assert it.received == 1

    asyncio.run(run())


def test_the_loop_does_not_wait_for_its_own_client() -> None:
    async def run() -> None:
        _, incoming = arriving([b"x"], b"begun")
        assert incoming.read(5) == b"begun"
        with pytest.raises(RuntimeError, match="still on its way"):
            incoming.read()
        incoming.close()

    asyncio.run(run())


@pytest.mark.parametrize("take", [lambda file: file.readline(), lambda file: file.read(1)])
def test_short_reads_of_a_long_piece_do_not_copy_the_rest_of_it(
    take: t.Callable[[t.Any], bytes],
) -> None:
    """SECURITY: if each of them did, this test would not end."""

    def read(file: t.Any) -> bool:
        return all(take(file) == b"\n" for _ in range(50_000))

    assert in_thread([b"\n" * 32_000_000], b"", read)
