from __future__ import annotations

import sys
import typing as t
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from threading import Barrier
from unittest import mock
from unittest.mock import Mock

from torsyq.lazy import deferred
from torsyq.lazy import held
from torsyq.lazy import imported
from torsyq.lazy import is_stock
from torsyq.lazy import lazy
from torsyq.lazy import shared
from torsyq.lazy import stock


class Page:
    __slots__ = ("__dict__", "_held_index")

    computed = 0

    @lazy
    def words(self) -> int:
        """How many."""
        self.computed += 1
        return 3

    @shared
    def chapters(self) -> list[str]:
        return []

    @held
    def index(self) -> list[str]:
        self.computed += 1
        return []


def test_computed_once() -> None:
    page = Page()
    assert (page.words, page.words, page.computed) == (3, 3, 1)


def test_assigning_first_keeps_it_from_being_computed() -> None:
    page = Page()
    page.words = 7
    assert (page.words, page.computed) == (7, 0)


def test_deleting_makes_it_compute_anew() -> None:
    page = Page()
    assert page.words == 3
    del page.__dict__["words"]
    assert page.words == 3
    assert page.computed == 2


def test_it_can_be_asked_as_a_property_is() -> None:
    """OctoPrint's request asks ``flask.Request.cookies.__get__(self)`` in its own ``cookies``."""
    page = Page()
    assert (Page.words.__get__(page), Page.words.__get__(page), page.computed) == (3, 3, 1)
    assert Page.words.fget(page) == 3
    assert (Page.words.__name__, Page.words.__module__) == ("words", __name__)


def test_a_property_in_its_place_that_asks_super_gets_the_same_value_each_time() -> None:
    class Own(Page):
        @property
        def words(self) -> int:
            return super().words

        @property
        def chapters(self) -> list[str]:
            return super().chapters

    page = Own()
    assert (page.words, page.words, page.computed) == (3, 3, 1)
    assert page.chapters is page.chapters


def test_threads_that_read_at_once_get_the_same_object() -> None:
    both = Barrier(2, timeout=30)

    class Shelf:
        @shared
        def books(self) -> list[int]:
            both.wait()
            return []

    shelf = Shelf()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda number: shelf.books, range(2))
    assert first is second is shelf.books
    assert isinstance(Shelf.books, shared)


def test_on_the_class_it_is_itself_with_the_docstring() -> None:
    assert isinstance(Page.__dict__["words"], lazy)
    assert Page.words.__doc__ == "How many."


class Step:
    @stock
    def step(self) -> None:
        """The shipped version."""


def test_the_mark_is_lost_by_every_kind_of_replacement() -> None:
    class Overridden(Step):
        def step(self) -> None:
            """Another."""

    class Inherited(Step):
        pass

    class Proxy:
        def __init__(self, wrapped: t.Any) -> None:
            self.wrapped = wrapped

        def __getattr__(self, name: str) -> t.Any:
            return getattr(self.wrapped, name)

    assert is_stock(Step.step)
    assert is_stock(Step().step)
    assert is_stock(Inherited().step)
    assert not is_stock(Overridden().step)
    for replacement in (lambda: None, wraps(Step().step)(lambda: None), Proxy(Step().step), Mock()):
        patched: t.Any = Step()
        patched.__dict__["step"] = replacement
        assert not is_stock(patched.step)


def test_imported_is_the_object_and_can_be_replaced() -> None:
    class App:
        fraction = imported("fractions", "Fraction")

    class Other(App):
        fraction = int

    from fractions import Fraction

    assert App.fraction is Fraction
    assert App().fraction is Fraction
    assert Other.fraction is int


def test_imported_loads_nothing_until_it_is_read() -> None:
    sys.modules.pop("colorsys", None)

    class App:
        convert = imported("colorsys", "rgb_to_hsv")

    assert "colorsys" not in sys.modules
    assert callable(App.convert)
    assert "colorsys" in sys.modules


def test_a_deferred_module_is_imported_when_a_name_is_read() -> None:
    sys.modules.pop("colorsys", None)
    names: dict[str, t.Any] = {}
    colorsys = names["colorsys"] = deferred("colorsys", names)
    assert "colorsys" not in sys.modules
    assert colorsys.rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)
    assert colorsys.rgb_to_hsv is sys.modules["colorsys"].rgb_to_hsv
    assert names["colorsys"] is sys.modules["colorsys"]


def test_what_is_held_is_computed_once_assigned_and_deleted_as_any_attribute() -> None:
    page = Page()
    assert not Page.index.is_made(page)
    assert page.index is page.index
    assert (Page.index.is_made(page), page.computed) == (True, 1)
    del page.index
    assert (page.index, page.computed) == ([], 2)
    page.index = ["a"]
    assert (page.index, page.computed) == (["a"], 2)
    assert "index" not in page.__dict__


def test_what_is_held_is_there_again_after_a_mock() -> None:
    """``mock.patch.object`` deletes what it has set, and ``app.logger`` was the app's own before."""
    made, assigned = Page(), Page()
    assigned.index = ["a"]
    for page in (made, assigned):
        before = page.index
        with mock.patch.object(page, "index"):
            assert page.index is not before
        assert page.index is before


def test_what_is_held_needs_no_slot() -> None:
    class Book:
        @held
        def index(self) -> list[str]:
            return []

    book = Book()
    assert book.index is book.index


def test_threads_that_read_what_is_held_at_once_get_the_same() -> None:
    barrier = Barrier(2)

    class Book:
        @held
        def index(self) -> list[str]:
            barrier.wait(5)  # both found nothing
            return []

    book = Book()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: book.index, range(2))
    assert first is second


def test_what_is_held_is_taken_away_once() -> None:
    class Book:
        @held
        def index(self) -> list[str]:
            return []

    book = Book()
    assert Book.index.taken_from(book) is None
    index = book.index
    assert Book.index.taken_from(book) is index
    assert Book.index.taken_from(book) is None
    assert book.index is not index


def test_what_is_held_may_be_taken_away_while_it_is_read() -> None:
    class Book:
        @held
        def index(self) -> list[str]:
            return ["a"]

    class Slippery(dict[str, t.Any]):
        """Another thread takes away what was found, in the moment after that."""

        def __contains__(self, key: object) -> bool:
            return self.pop(t.cast("str", key), None) is not None

    book = Book()
    book._held = Slippery(index=["b"])  # type: ignore[attr-defined]
    assert book.index in (["a"], ["b"])


def test_a_catch_all_for_attributes_is_not_taken_for_what_is_held() -> None:
    class Book:
        @held
        def index(self) -> list[str]:
            return ["a"]

        def __getattr__(self, name: str) -> str:
            return name

    assert Book().index == ["a"]
