"""How an application turns objects into JSON and back.

:class:`JSONProvider` is what another library is put behind; :class:`DefaultJSONProvider` is the
standard library's :mod:`json` with a few more types.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t
import weakref
from datetime import date
from json import encoder as _json_encoder
from types import MappingProxyType

from ..dates import http_date
from ..lazy import deferred

if t.TYPE_CHECKING:
    import decimal
    import uuid

    from werkzeug.sansio.response import Response

    from ..sansio.app import App
else:
    decimal = deferred("decimal", globals())
    uuid = deferred("uuid", globals())

# The C function of an interpreter that has one; the way it is called is the same since 3.1.
c_make_encoder: t.Any = getattr(_json_encoder, "c_make_encoder", None)

# What makes a response of a text and a mimetype sooner than the class itself.
# PERF: 4 % of a request that is answered with JSON.
text_response: dict[type, t.Callable[..., Response]] = {}

_Encode = t.Callable[[t.Any, int], t.Iterable[str]]

# The arguments of dumps that only say how the text looks: few combinations, each worth an
# encoder that is kept. Others (default, cls, ...) may be made anew for each call.
_LOOKS = frozenset({"ensure_ascii", "indent", "separators", "sort_keys"})
_MAX_KEPT = 32

_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def parse(text: str) -> t.Any:
    """Read JSON text, as :func:`json.loads` does.

    PERF: text that is a value and nothing else takes one call instead of four (half the time).
    """
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        end = -1
    return value if end == len(text) else json.loads(text)


class JSONProvider:
    """What ``app.json`` has to do. A subclass gives :meth:`dumps` and :meth:`loads`.

    :param app: the application; a weak reference is kept.

    .. code-block:: python

        class FastJSON(JSONProvider):
            def dumps(self, obj, **kwargs):
                return orjson.dumps(obj).decode()

            def loads(self, s, **kwargs):
                return orjson.loads(s)

        class MyFlask(Flask):
            json_provider_class = FastJSON
    """

    def __init__(self, app: App) -> None:
        self._app: App = weakref.proxy(app)

    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        """Give the object as JSON text."""
        raise NotImplementedError

    def dump(self, obj: t.Any, fp: t.IO[str], **kwargs: t.Any) -> None:
        """Write the object as JSON to a text file."""
        fp.write(self.dumps(obj, **kwargs))

    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        """Read JSON from text or UTF-8 bytes."""
        raise NotImplementedError

    def load(self, fp: t.IO[t.AnyStr], **kwargs: t.Any) -> t.Any:
        """Read JSON from an open file."""
        return self.loads(fp.read(), **kwargs)

    def _prepare_response_obj(self, args: tuple[t.Any, ...], kwargs: dict[str, t.Any]) -> t.Any:
        """What :meth:`response` was asked to send: one value, a list of them, or a dict."""
        if args and kwargs:
            raise TypeError("app.json.response() takes either args or kwargs, not both")
        if kwargs:
            return kwargs
        if not args:
            return None
        return args[0] if len(args) == 1 else args

    def response(self, *args: t.Any, **kwargs: t.Any) -> Response:
        """Give a response with the JSON of one value, of several as a list, or of the keyword
        arguments as a dict.

        :raises TypeError: both positional and keyword arguments were given.
        """
        obj = self._prepare_response_obj(args, kwargs)
        return self._app.response_class(self.dumps(obj), mimetype="application/json")


def _default(o: t.Any) -> t.Any:
    """What goes into the JSON for an object :mod:`json` does not know."""
    if isinstance(o, date):
        return http_date(o)
    if isinstance(o, (decimal.Decimal, uuid.UUID)):
        return str(o)
    if dataclasses.is_dataclass(o):
        return dataclasses.asdict(o)  # type: ignore[arg-type]
    if hasattr(o, "__html__"):
        return str(o.__html__())

    raise TypeError(f"Object of type {type(o).__name__} is not JSON serializable")


def _pieces(encoder: json.JSONEncoder) -> _Encode:
    """What gives the pieces of an object's JSON.

    PERF: an encoder makes the C function that does its work anew for each object; a kept one
    saves 2 Python calls and 0.5 us.
    """
    make = c_make_encoder
    if make is None or type(encoder) is not json.JSONEncoder or encoder.indent is not None:
        return lambda obj, level: (encoder.encode(obj),)
    names = _json_encoder
    encode_text = names.encode_basestring_ascii if encoder.ensure_ascii else names.encode_basestring
    markers: dict[int, t.Any] | None = {} if encoder.check_circular else None
    return make(
        markers,
        encoder.default,
        encode_text,
        None,
        encoder.key_separator,
        encoder.item_separator,
        encoder.sort_keys,
        encoder.skipkeys,
        encoder.allow_nan,
    )


class DefaultJSONProvider(JSONProvider):
    """JSON by the standard library. Besides its types it writes:

    * :class:`datetime.date` and :class:`~datetime.datetime` as an HTTP date (:rfc:`9110#5.6.7`);
    * :class:`decimal.Decimal` and :class:`uuid.UUID` as a string;
    * a dataclass as a dict;
    * an object with ``__html__``, such as :class:`~markupsafe.Markup`, as that string.

    .. code-block:: python

        class SetsToo(DefaultJSONProvider):
            sort_keys = False

            @staticmethod
            def default(o):
                return sorted(o) if isinstance(o, set) else DefaultJSONProvider.default(o)

        app.json = SetsToo(app)
    """

    #: Called with an object :mod:`json` can't write; gives one it can, or raises ``TypeError``.
    default: t.Callable[[t.Any], t.Any] = staticmethod(_default)

    #: Write characters outside ASCII as escapes.
    ensure_ascii = True

    #: Sort the keys of dicts, so that the same data is always the same text.
    sort_keys = True

    #: ``True``: no spaces or line breaks in a response. ``False``: indented. ``None``: indented
    #: in debug mode only.
    compact: bool | None = None

    #: The mimetype of :meth:`response`.
    mimetype = "application/json"

    _kept_encoders: t.Mapping[t.Any, _Encode] = MappingProxyType({})

    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        """Give the object as JSON text.

        :param kwargs: as :func:`json.dumps` takes them; ``default``, ``ensure_ascii`` and
            ``sort_keys`` are this provider's attributes unless given.
        """
        separators = kwargs.get("separators")
        key: tuple[t.Any, ...]
        if separators is not None and len(kwargs) == 1:
            # PERF: what response() asks for, without going through the arguments (2 % of a request).
            key = self.default, self.ensure_ascii, self.sort_keys, separators, None
        else:
            key = self.default, self.ensure_ascii, self.sort_keys, *kwargs.items()
        try:
            encode = self._kept_encoders[key]
        except (KeyError, TypeError):
            encode = self._keep_encoder(key, kwargs)
        try:
            return "".join(encode(obj, 0))
        except RecursionError:
            # Perhaps the object contains itself: this encoder looks for that, and says so.
            return self._make_encoder({"check_circular": True, **kwargs}).encode(obj)

    def _keep_encoder(self, key: t.Any, kwargs: dict[str, t.Any]) -> _Encode:
        """Make an encoder; keep it if more calls are likely to ask for the same.

        PERF: making one takes as long as writing a small dict, and watching for an object that
        contains itself a quarter of writing a large one. It is not watched for until too deep.
        """
        if "cls" in kwargs:
            return _pieces(self._make_encoder(kwargs))

        encode = _pieces(self._make_encoder({"check_circular": False, **kwargs}))
        if kwargs.keys() <= _LOOKS:
            # Each instance has its own; the class's is empty for good.
            kept = self.__dict__.setdefault("_kept_encoders", {})
            if len(kept) < _MAX_KEPT:
                try:
                    kept[key] = encode
                except TypeError:
                    pass  # separators given as a list
        return encode

    def _make_encoder(self, kwargs: dict[str, t.Any]) -> json.JSONEncoder:
        settings = {
            "default": self.default,
            "ensure_ascii": self.ensure_ascii,
            "sort_keys": self.sort_keys,
            **kwargs,
        }
        cls = settings.pop("cls", None) or json.JSONEncoder
        encoder: json.JSONEncoder = cls(**settings)
        return encoder

    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        """Read JSON from text or UTF-8 bytes.

        :param kwargs: as :func:`json.loads` takes them.
        """
        if not kwargs:
            if type(s) is str:
                return parse(s)
            # Bytes that can only be UTF-8: see json.detect_encoding.
            if type(s) is bytes and len(s) > 1 and 0 < s[0] < 0x80 and s[1]:
                return parse(s.decode("utf-8", "surrogatepass"))

        return json.loads(s, **kwargs)

    def response(self, *args: t.Any, **kwargs: t.Any) -> Response:
        """Give a response with the JSON of one value, of several as a list, or of the keyword
        arguments as a dict. It ends with a line break; :attr:`compact` says how it looks.

        :raises TypeError: both positional and keyword arguments were given.
        """
        obj = self._prepare_response_obj(args, kwargs)
        compact = self.compact
        app = self._app

        if compact is False or (compact is None and app.debug):
            text = self.dumps(obj, indent=2)
        else:
            text = self.dumps(obj, separators=(",", ":"))

        cls = app.response_class
        make = text_response.get(cls, cls)
        return make(f"{text}\n", mimetype=self.mimetype)
