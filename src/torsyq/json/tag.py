"""JSON that keeps the types JSON does not have, as the session cookie needs.

A value of such a type is written as a dict with one key, its *tag*: ``(1, 2)`` becomes
``{" t": [1, 2]}``. A :class:`TaggedJSONSerializer` tries its tags in order; another type takes a
:class:`JSONTag` of its own:

.. code-block:: python

    class TagDecimal(JSONTag):
        __slots__ = ()
        key = " dec"

        def check(self, value):
            return isinstance(value, Decimal)

        def to_json(self, value):
            return str(value)

        def to_python(self, value):
            return Decimal(value)

    app.session_interface.serializer.register(TagDecimal)
"""

from __future__ import annotations

import typing as t
from base64 import b64decode
from base64 import b64encode
from datetime import datetime

from markupsafe import Markup
from werkzeug.http import parse_date

from ..dates import http_date
from ..globals import _current_app_or_none
from ..json import dumps
from ..json import loads
from ..lazy import deferred
from ..passed_on import passed_on
from .provider import DefaultJSONProvider
from .provider import parse

if t.TYPE_CHECKING:
    import uuid
else:
    uuid = deferred("uuid", globals())

# The types JSON has and no default tag asks for.
_plain_types = frozenset({str, int, float, bool, type(None)})


class JSONTag:
    """One type that JSON lacks: how to know it, to write it, and to read it back.

    :param serializer: the serializer it is registered with, for values inside of values.
    """

    __slots__ = ("serializer",)

    #: The key that marks the value. Empty: the value is written without a mark.
    key: str = ""

    def __init__(self, serializer: TaggedJSONSerializer) -> None:
        self.serializer = serializer

    def check(self, value: t.Any) -> bool:
        """Whether the value is this tag's."""
        raise NotImplementedError

    def to_json(self, value: t.Any) -> t.Any:
        """The value as something JSON has."""
        raise NotImplementedError

    def to_python(self, value: t.Any) -> t.Any:
        """The value again, from what :meth:`to_json` gave."""
        raise NotImplementedError

    def tag(self, value: t.Any) -> dict[str, t.Any]:
        """The value as JSON has it, below this tag's key."""
        return {self.key: self.to_json(value)}


class TagDict(JSONTag):
    """A dict with one key that looks like a tag. The key gets ``__`` behind it."""

    __slots__ = ()
    key = " di"

    def check(self, value: t.Any) -> bool:
        return (
            isinstance(value, dict)
            and len(value) == 1
            and next(iter(value)) in self.serializer.tags
        )

    def to_json(self, value: t.Any) -> t.Any:
        [(key, inner)] = value.items()
        return {f"{key}__": self.serializer.tag(inner)}

    def to_python(self, value: t.Any) -> t.Any:
        key = next(iter(value))
        return {key[:-2]: value[key]}


class PassDict(JSONTag):
    """Any other dict: only its values may need a tag."""

    __slots__ = ()

    def check(self, value: t.Any) -> bool:
        return isinstance(value, dict)

    def to_json(self, value: t.Any) -> t.Any:
        # Keys stay what they are: JSON has no room for another type there.
        return {key: self.serializer.tag(inner) for key, inner in value.items()}

    tag = to_json


class TagTuple(JSONTag):
    __slots__ = ()
    key = " t"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, tuple)

    def to_json(self, value: t.Any) -> t.Any:
        return [self.serializer.tag(item) for item in value]

    def to_python(self, value: t.Any) -> t.Any:
        return tuple(value)


class PassList(JSONTag):
    """A list: only its items may need a tag."""

    __slots__ = ()

    def check(self, value: t.Any) -> bool:
        return isinstance(value, list)

    def to_json(self, value: t.Any) -> t.Any:
        return [self.serializer.tag(item) for item in value]

    tag = to_json


class TagBytes(JSONTag):
    __slots__ = ()
    key = " b"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, bytes)

    def to_json(self, value: t.Any) -> t.Any:
        return b64encode(value).decode("ascii")

    def to_python(self, value: t.Any) -> t.Any:
        return b64decode(value)


class TagMarkup(JSONTag):
    """Whatever has ``__html__``. It comes back as :class:`~markupsafe.Markup`."""

    __slots__ = ()
    key = " m"

    def check(self, value: t.Any) -> bool:
        return callable(getattr(value, "__html__", None))

    def to_json(self, value: t.Any) -> t.Any:
        return str(value.__html__())

    def to_python(self, value: t.Any) -> t.Any:
        return Markup(value)


class TagUUID(JSONTag):
    __slots__ = ()
    key = " u"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, uuid.UUID)

    def to_json(self, value: t.Any) -> t.Any:
        return value.hex

    def to_python(self, value: t.Any) -> t.Any:
        return uuid.UUID(value)


class TagDateTime(JSONTag):
    """A date and time to the second. It comes back in UTC."""

    __slots__ = ()
    key = " d"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, datetime)

    def to_json(self, value: t.Any) -> t.Any:
        return http_date(value)

    def to_python(self, value: t.Any) -> t.Any:
        return parse_date(value)


_default_tags = (
    TagDict,
    PassDict,
    TagTuple,
    PassList,
    TagBytes,
    TagMarkup,
    TagUUID,
    TagDateTime,
)


class TaggedJSONSerializer:
    """Writes and reads compact JSON, with tags for tuples, bytes, :class:`~markupsafe.Markup`,
    :class:`~uuid.UUID` and :class:`~datetime.datetime`.

    .. code-block:: python

        s = TaggedJSONSerializer()
        s.loads(s.dumps({"point": (1, 2)}))  # {"point": (1, 2)}
    """

    __slots__ = ("tags", "order", "_default_order")

    #: The tags each serializer starts with.
    default_tags: list[type[JSONTag]] = list(_default_tags)

    def __init__(self) -> None:
        self.tags: dict[str, JSONTag] = {}
        self.order: list[JSONTag] = []

        for tag_class in self.default_tags:
            self.register(tag_class)

        # The order of tags with which the quick ways below give the same as the plain ones.
        cls = type(self)
        stock = (
            cls.tag is TaggedJSONSerializer.tag
            and cls.untag is TaggedJSONSerializer.untag
            and cls._untag_scan is TaggedJSONSerializer._untag_scan
            and tuple(map(type, self.order)) == _default_tags
        )
        self._default_order = self.order.copy() if stock else None

    def register(
        self, tag_class: type[JSONTag], force: bool = False, index: int | None = None
    ) -> None:
        """Add a tag.

        :param tag_class: the tag; it is made here.
        :param force: put it in the place of one that has the same key.
        :param index: where in the order of trying; last by default. A tag for a subclass, of
            ``dict`` say, has to come before its base's.
        :raises KeyError: the key is taken, and ``force`` is not set.
        """
        tag = tag_class(self)
        key = tag.key

        if key:
            if not force and key in self.tags:
                raise KeyError(f"Tag {key!r} is already registered.")
            self.tags[key] = tag

        if index is None:
            self.order.append(tag)
        else:
            self.order.insert(index, tag)

    def tag(self, value: t.Any) -> t.Any:
        """The value as JSON has it, tagged where need be."""
        for tag in self.order:
            if tag.check(value):
                return tag.tag(value)

        return value

    def untag(self, value: dict[str, t.Any]) -> t.Any:
        """The value again, where the dict is a tagged one; else the dict."""
        if len(value) != 1:
            return value

        key = next(iter(value))
        tag = self.tags.get(key)
        return value if tag is None else tag.to_python(value[key])

    def _untag_scan(self, value: t.Any) -> t.Any:
        """:meth:`untag` everything in the value, from the inside out."""
        if isinstance(value, dict):
            return self.untag({key: self._untag_scan(inner) for key, inner in value.items()})
        if isinstance(value, list):
            return [self._untag_scan(item) for item in value]
        return value

    def dumps(self, value: t.Any) -> str:
        """Give the value as compact tagged JSON."""
        if self.order == self._default_order:
            value = self._tag_plain(value)
        else:
            value = self.tag(value)
        return dumps(value, separators=(",", ":"))

    def _tag_plain(self, value: t.Any) -> t.Any:
        """What :meth:`tag` gives with the default tags.

        PERF: most values of a session are of types that no tag asks for; asking each tag about
        each of them takes ten times as long.
        """
        kind = type(value)
        if kind is dict and (len(value) != 1 or next(iter(value)) not in self.tags):
            if _plain_types.issuperset(map(type, value.values())):
                return value
            return {key: self._tag_plain(inner) for key, inner in value.items()}
        if kind is list:
            if _plain_types.issuperset(map(type, value)):
                return value
            return [self._tag_plain(item) for item in value]
        return value if kind in _plain_types else self.tag(value)

    def loads(self, value: str) -> t.Any:
        """Read tagged JSON."""
        # PERF: the keys of the default tags begin with a space. Where no text does, in either of
        # the ways JSON can write one, nothing is tagged.
        if self.order == self._default_order and '" ' not in value and "\\u0020" not in value:
            app = _current_app_or_none()
            if app is None:
                return parse(value)
            provider = app.json
            is_usual = getattr(type(provider), "loads", None) is DefaultJSONProvider.loads
            return parse(value) if is_usual and "loads" not in vars(provider) else loads(value)
        return self._untag_scan(loads(value))


__getattr__ = passed_on(__name__)
