"""A WebSocket connection (:rfc:`6455`), as views see it through the ``websocket`` proxy.

The server speaks ASGI; what it hands over becomes messages to await, and in a sync view, which
runs in a thread of its own, messages to wait for. Pings, fragments and UTF-8 are the server's.
"""

from __future__ import annotations

import asyncio
import typing as t
from contextvars import copy_context
from functools import wraps
from threading import get_ident
from time import monotonic

from werkzeug.exceptions import BadRequest

from .asgi_answer import GONE
from .asgi_answer import wire_headers
from .globals import _cv_websocket
from .headers import Headers
from .loop import adopt
from .loop import Call
from .loop import current_ending
from .loop import current_loop
from .loop import waited_for
from .threads import Hop
from .websocket_inbox import Inbox
from .websocket_inbox import WebsocketDisconnected as WebsocketDisconnected
from .websocket_viewer import Viewer
from .wrappers import Request

if t.TYPE_CHECKING:
    from concurrent.futures import Executor

    from werkzeug import datastructures as ds
    from werkzeug.exceptions import HTTPException
    from werkzeug.routing import Rule
    from werkzeug.user_agent import UserAgent

    from .asgi_answer import Send
    from .incoming import Message
    from .incoming import Receive

F = t.TypeVar("F", bound=t.Callable[..., t.Coroutine[t.Any, t.Any, t.Any]])
T = t.TypeVar("T")

# The codes an application may send (RFC 6455, section 7.4, and IANA's list).
_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
_LONGEST_REASON = 123

# After so many seconds of sending, other tasks have their turn.
_STRETCH = 0.001

# How an HTTP status is said once the connection is accepted (the same sources).
_CODE_OF_STATUS = {400: 1007, 413: 1009, 415: 1003, 503: 1013}


class InvalidMessage(BadRequest, ValueError):
    """A message is not the JSON it should be. Where nobody catches it, the connection is closed
    with the code 1007."""

    description = "The message is not valid JSON."


def _awaited_or_waited_for(method: F) -> F:
    """Let sync code call an async method of the websocket: in a thread it returns the result."""

    @wraps(method)
    def wrapper(self: Websocket, *args: t.Any, **kwargs: t.Any) -> t.Any:
        # PERF: a tenth of the time in which the running loop tells its name (Python 3.11).
        if get_ident() == self._thread:
            return method(self, *args, **kwargs)
        return self._waited_for(method, self, *args, **kwargs)

    return t.cast(F, wrapper)


class Websocket:
    """A connection, with the public attributes of the request it began with: ``headers``, ``args``,
    ``cookies``, ``path``, ``host``, ``view_args`` ... What a request class of your own adds to these
    is in :attr:`request`.

    Set :attr:`Flask.websocket_class <torsyq.Flask.websocket_class>` to a subclass to have
    another. Its methods are awaited in an ``async def`` view and called plainly in a ``def``::

        @app.websocket("/echo")
        async def echo():
            async for message in websocket:
                await websocket.send(message)

    :param request: the handshake.
    :param receive: as the server gave it.
    :param send: as the server gave it.
    :param max_message_size: in bytes; a larger message closes the connection with 1009.
    """

    if t.TYPE_CHECKING:
        args: ds.MultiDict[str, str]
        authorization: ds.Authorization | None
        base_url: str
        blueprint: str | None
        blueprints: list[str]
        cookies: ds.ImmutableMultiDict[str, str]
        endpoint: str | None
        full_path: str
        headers: ds.Headers
        host: str
        host_url: str
        is_secure: bool
        origin: str | None
        path: str
        query_string: bytes
        remote_addr: str | None
        root_path: str
        root_url: str
        routing_exception: HTTPException | None
        scheme: str
        url: str
        url_root: str
        url_rule: Rule | None
        user_agent: UserAgent
        view_args: dict[str, t.Any] | None

        def __getattr__(self, name: str) -> t.Any: ...  # What else a request has.

    def __init__(
        self,
        request: Request,
        receive: Receive,
        send: Send,
        max_message_size: int | None = None,
    ) -> None:
        #: The request that asked for the connection.
        self.request = request
        self._loop = current_loop()
        self._thread = get_ident()
        self._viewer = Viewer(self._loop)
        self._inbox = Inbox(receive, self._close, max_message_size, self._viewer)
        self._send = send
        # What 'receive' awaits: as long as it is not open, it accepts.
        self._next: t.Callable[[], t.Coroutine[t.Any, t.Any, str | bytes]]
        self._next = self._accept_and_receive
        self._last_turn = monotonic()
        self._accepting = asyncio.Lock()
        #: Called before accepting, with the headers of the answer.
        self._on_accept: t.Callable[[Headers], t.Awaitable[None]] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.request.url!r}>"

    @property
    def scope(self) -> t.MutableMapping[str, t.Any]:
        """The connection as the ASGI server describes it."""
        return self.request.environ["asgi.scope"]  # type: ignore[no-any-return]

    @property
    def requested_subprotocols(self) -> list[str]:
        """What the client offers to speak, the best first."""
        return list(self.scope.get("subprotocols") or ())

    @property
    def accepted(self) -> bool:
        """Whether the connection is open, or was."""
        return self._inbox.is_open

    @property
    def closed(self) -> bool:
        """Whether the connection is over, closed by either side."""
        if self._inbox.end is None:
            return False
        self._viewer.be_told_in_thread()
        return True

    @_awaited_or_waited_for
    async def accept(self, headers: t.Any = None, subprotocol: str | None = None) -> None:
        """Agree to the connection. The first ``receive`` or ``send`` does so by itself.

        :param headers: a dictionary or a list of pairs, to send with the answer.
        :param subprotocol: one of :attr:`requested_subprotocols`.
        :raises ValueError: it is not one of them, or a header can't be sent.
        :raises RuntimeError: the connection is accepted already, without these.
        """
        if self.accepted and (headers is not None or subprotocol is not None):
            raise RuntimeError(
                "The connection is accepted already, so that no headers and no subprotocol can be"
                " sent. Usually a 'receive' or 'send' comes before the 'accept', and accepts."
            )
        await self._accept(headers, subprotocol)

    async def _accept(self, given: t.Any = None, subprotocol: str | None = None) -> None:
        if subprotocol is not None and subprotocol not in self.requested_subprotocols:
            # A browser would break the connection off.
            raise ValueError(
                f"The client did not offer the subprotocol {subprotocol!r}, but"
                f" {self.requested_subprotocols or 'none'}."
            )
        headers = Headers()
        headers.extend(given or ())
        if "Sec-WebSocket-Protocol" in headers:
            raise ValueError("Pass 'subprotocol' instead of a header 'Sec-WebSocket-Protocol'.")
        async with self._accepting:
            if self.accepted or self.closed:
                return
            if self._on_accept is not None:
                await self._on_accept(headers)
                if self.closed:
                    return  # Meanwhile.
            message: Message = {
                "type": "websocket.accept",
                "headers": wire_headers(headers),
            }
            if subprotocol is not None:
                message["subprotocol"] = subprotocol
            try:
                await self._send(message)
            except GONE as error:
                raise await self._lost() from error
            except asyncio.CancelledError:
                # It is on its way: a second one would be an error of the server's.
                self._open()
                raise
            self._open()

    def _open(self) -> None:
        self._inbox.open()
        self._next = self._inbox.get

    async def _lost(self) -> BaseException:
        """What to raise, now that nobody is there."""
        self._inbox.close(1006, "")
        self._viewer.leave()
        return await self._farewell()

    async def _farewell(self) -> BaseException:
        """What to raise from a send."""
        return self._error_for_others() or await self._inbox.farewell()

    def _error_for_others(self) -> ConnectionError | None:
        """What to raise where it is not the current websocket: the sender is not over with it."""
        ctx = _cv_websocket.get(None)
        if ctx is not None and ctx.websocket is self:
            return None
        return ConnectionError(f"The websocket on {self.path!r} is closed.")

    def receive(self) -> t.Coroutine[t.Any, t.Any, str | bytes]:
        """The next message: text as a string, binary data as bytes.

        :raises WebsocketDisconnected: the connection is over.
        """
        # PERF: _awaited_or_waited_for, inlined here and in 'send' (2 % of an echo).
        return self._next() if get_ident() == self._thread else self._waited_for(self._next)

    async def _accept_and_receive(self) -> str | bytes:
        await self._accept()
        return await self._inbox.get()

    @_awaited_or_waited_for
    async def receive_json(self, **kwargs: t.Any) -> t.Any:
        """The next message, parsed as JSON by the app's provider.

        :param kwargs: passed to ``app.json.loads``.
        :raises InvalidMessage: it is something else.
        :raises WebsocketDisconnected: the connection is over.
        """
        message = await self.receive()
        try:
            return self.request.json_module.loads(message, **kwargs)
        # SECURITY: a few kilobytes of "[[[[" would pass for an error of the application.
        except (ValueError, RecursionError) as error:
            raise InvalidMessage() from error

    def send(self, data: str | bytes) -> t.Coroutine[t.Any, t.Any, None]:
        """Send a message, and wait while the client is too slow to take it.

        Half of a surrogate pair in a text, which UTF-8 cannot carry, is sent as ``?``.

        :raises TypeError: *data* is neither text nor bytes.
        :raises WebsocketDisconnected: the connection is over.
        :raises ConnectionError: likewise, in a request, a background task or another WebSocket.
        """
        if get_ident() == self._thread:
            return self._send_here(data)
        call = Call(self._loop, None, self._send_here, data)
        try:
            # Not every server tells who waits in its send that the client has gone.
            return self._viewer.ending.wait_for(call)  # type: ignore[no-any-return]
        except asyncio.CancelledError as error:
            end = self._inbox.end
            if end is None:
                raise
            self._viewer.be_told_in_thread()
            if isinstance(error, WebsocketDisconnected):
                raise
            raise (self._error_for_others() or WebsocketDisconnected(*end)) from None

    async def _send_here(self, data: str | bytes) -> None:
        message: Message
        if isinstance(data, str):
            if not data.isascii():
                # Half of a surrogate pair, as JSON may bring it, is an error in some servers, and
                # an empty message in others.
                data = data.encode("utf-8", "replace").decode()
            message = {"type": "websocket.send", "text": data}
        elif isinstance(data, (bytes, bytearray, memoryview)):
            message = {"type": "websocket.send", "bytes": bytes(data)}
        else:
            raise TypeError(
                f"A message is a string or bytes, and not a {type(data).__name__}."
                " To send it as JSON, use 'send_json'."
            )
        inbox = self._inbox
        if not inbox.is_open:
            await self._accept()
        if inbox.end is not None:
            raise await self._farewell()
        try:
            await self._send(message)
        except Exception as error:
            # Each server has its own way to say that nobody is there.
            raise await self._lost() from error
        now = monotonic()
        if now - self._last_turn > _STRETCH:
            # Not every server waits in its send, and the others want their turn.
            self._last_turn = now
            await asyncio.sleep(0)

    def send_json(self, *args: t.Any, **kwargs: t.Any) -> t.Coroutine[t.Any, t.Any, None]:
        """Send a value as JSON text: one, or a list of several, or a dictionary of the keyword
        arguments, written by the app's provider.

        :raises TypeError: both were given, or there is no JSON for it.
        :raises WebsocketDisconnected: the connection is over.
        """
        if args and kwargs:
            raise TypeError("'send_json' takes values or keyword arguments, not both.")
        value = kwargs if not args else args[0] if len(args) == 1 else args
        return self.send(self.request.json_module.dumps(value))

    def close(self, code: int = 1000, reason: str | None = None) -> t.Coroutine[t.Any, t.Any, None]:
        """End the connection; if it was not accepted yet, refuse it, which is a 403.

        :param code: why: 1000 to 4999, see :rfc:`6455#section-7.4`; 4000 and above are yours.
        :param reason: the same in words, of at most 123 bytes.
        :raises ValueError: the code or the reason can't be sent.
        """
        reason = reason or ""
        if code not in _CODES:
            raise ValueError(
                f"{code!r} is no code to close with: 1000, 1001, 1002, 1003, 1007 to 1014, and"
                " 3000 to 4999 are."
            )
        if len(reason.encode()) > _LONGEST_REASON:
            raise ValueError(f"A reason has at most {_LONGEST_REASON} bytes: {reason!r}.")
        if get_ident() == self._thread:
            return self._close_here(code, reason)
        self._waited_for(self._close_here, code, reason)
        self._viewer.be_told_in_thread()
        return None  # type: ignore[return-value]

    async def _close_here(self, code: int, reason: str) -> None:
        if not self.closed:
            await self._close(code, reason)
            self._viewer.leave()

    async def _close(self, code: int, reason: str) -> None:
        self._inbox.close(code, reason)
        # Granian cannot close while it is being listened to.
        await self._stop()
        try:
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except Exception:
            # The client was faster.
            return

    async def _stop(self) -> None:
        await self._inbox.stop()
        self._viewer.stop()

    def _waited_for(
        self, func: t.Callable[..., t.Awaitable[t.Any]], *args: t.Any, **kwargs: t.Any
    ) -> t.Any:
        """The result of an async method, for a thread."""
        try:
            return waited_for(self._loop, func, *args, **kwargs)
        except WebsocketDisconnected:
            self._viewer.be_told_in_thread()
            raise

    async def __aiter__(self) -> t.AsyncIterator[str | bytes]:
        """The messages until the connection is over."""
        while True:
            try:
                message = await self.receive()
            except WebsocketDisconnected:
                return
            yield message

    def __iter__(self) -> t.Iterator[str | bytes]:
        """The messages until the connection is over, for sync views.

        :raises RuntimeError: it is in an async one, where nothing would wait for a message.
        """
        if get_ident() == self._thread:
            raise RuntimeError(
                "A plain 'for' was used on the event loop, where it cannot wait for a message."
                " Usually it is in an 'async def' view: write 'async for message in websocket'."
            )
        while True:
            try:
                message: t.Any = self.receive()
            except WebsocketDisconnected:
                return
            yield message

    # For the walk.

    async def _view(self, view: t.Coroutine[t.Any, t.Any, T]) -> T:
        """Await the view, or what comes before it; the client's going cancels it."""
        task = t.cast("asyncio.Task[t.Any]", asyncio.current_task())
        self._viewer.begin(task.cancel, task)
        try:
            return await self._ungrouped(view)
        finally:
            self._viewer.end()
            if self._viewer.has_cancelled:
                task.uncancel()
            # A task that is cancelled holds its error, whose traceback holds this frame.
            del task

    async def _ungrouped(self, view: t.Awaitable[T]) -> T:
        """Await the view. A task group wraps what its body raises, but for CancelledError itself."""
        try:
            return await view
        except BaseExceptionGroup as group:
            ended, errors = group.split(WebsocketDisconnected)
            if ended is None:
                raise
            try:
                raise (errors or await self._inbox.farewell()) from None
            finally:
                # Their tracebacks hold this frame: without this, they and it hold each other.
                del ended, errors

    async def _view_in_thread(self, pool: Executor, view: t.Callable[[], T]) -> T:
        """Wait for the sync view in a thread of *pool*, which finds out by itself."""
        context = copy_context()
        context.run(current_ending.set, self._viewer.ending)
        end_coroutines = self._viewer.coroutines.come
        self._viewer.begin(end_coroutines)

        def stop() -> None:
            # Where the server ends, it is to wait for nothing any more.
            self._inbox.close(1001, "")
            end_coroutines()

        hop = Hop(pool, view, stop)
        hop.begin(context)
        try:
            return await self._ungrouped(hop)
        finally:
            self._viewer.end()
            adopt(context)

    async def _close_with(self, status: int, reason: str) -> None:
        """Close it for what would have been an HTTP response of that status."""
        usual = 1011 if status >= 500 else 1008 if status >= 400 else 1000
        fitting = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
        await self.close(_CODE_OF_STATUS.get(status, usual), fitting)

    def _ended_view(self, error: asyncio.CancelledError) -> bool:
        """Whether *error* came of the connection's end, and not of the server's."""
        task = asyncio.current_task()
        is_ours = isinstance(error, WebsocketDisconnected) or self._viewer.has_cancelled
        return is_ours and task is not None and not task.cancelling()

    async def _finish(self) -> None:
        """Let go of the connection; tasks that still use it find it closed."""
        self._inbox.close(1006, "")
        try:
            await self._stop()
        finally:
            # Some of these hold the websocket, and granian closes the line only when nobody has its
            # objects any more.
            self._next = self._inbox.get
            del self._send, self._on_accept, self._inbox._receive, self._inbox._refuse


class _OfRequest:
    """An attribute that is the request's, as long as the websocket has none of its own.

    PERF: a ``__getattr__`` would have Python find each attribute of the websocket late (2 % of an
    echo).
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, websocket: Websocket | None, owner: type) -> t.Any:
        return self if websocket is None else getattr(websocket.request, self.name)


for _name in {*dir(Request), "environ", "method"} - {*dir(Websocket)}:
    if not _name.startswith("_"):
        setattr(Websocket, _name, _OfRequest(_name))
