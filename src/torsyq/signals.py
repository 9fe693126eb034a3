"""The signals an application sends while it works, as :mod:`blinker` signals.

A receiver observes, it can't change what happens; the sender is always the application::

    from torsyq import request_started

    def count(sender, **extra):
        sender.extensions["hits"] += 1

    request_started.connect(count, app)

A signal nobody listens to costs one truth test: Torsyq looks at ``signal.receivers`` first.
"""

from __future__ import annotations

from blinker import Namespace

# A namespace of our own, so that another library's signal of the same name stays apart.
_signals = Namespace()

#: A template was rendered. Sent with ``template`` and ``context``.
template_rendered = _signals.signal("template-rendered")
#: A template is about to be rendered. Sent with ``template`` and ``context``.
before_render_template = _signals.signal("before-render-template")
#: The request context is pushed, no hook has run yet.
request_started = _signals.signal("request-started")
#: The response is ready to be sent. Sent with ``response``.
request_finished = _signals.signal("request-finished")
#: The request context is going away, after an error too. Sent with ``exc``.
request_tearing_down = _signals.signal("request-tearing-down")
#: An exception no handler took. Sent with ``exception``.
got_request_exception = _signals.signal("got-request-exception")
#: The application context is going away, after an error too. Sent with ``exc``.
appcontext_tearing_down = _signals.signal("appcontext-tearing-down")
#: The application context was pushed.
appcontext_pushed = _signals.signal("appcontext-pushed")
#: The application context was popped.
appcontext_popped = _signals.signal("appcontext-popped")
#: A message was flashed. Sent with ``message`` and ``category``.
message_flashed = _signals.signal("message-flashed")
#: A WebSocket connection is asked for; the context is pushed, no hook has run yet.
websocket_started = _signals.signal("websocket-started")
#: The view of a WebSocket has returned. Sent with ``response``, None where it was accepted.
websocket_finished = _signals.signal("websocket-finished")
#: The context of a WebSocket is going away, after an error too. Sent with ``exc``.
websocket_tearing_down = _signals.signal("websocket-tearing-down")
#: An exception of a WebSocket's view that no handler took. Sent with ``exception``.
#: :data:`got_request_exception` is sent as well, for what reports errors.
got_websocket_exception = _signals.signal("got-websocket-exception")
