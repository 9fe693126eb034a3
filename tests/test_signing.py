"""What we sign is what ItsDangerous signs."""

from __future__ import annotations

import hashlib
import json
import time
import typing as t
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import BadData
from itsdangerous import SignatureExpired
from itsdangerous import Signer
from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode

from torsyq.signing import _compress
from torsyq.signing import signing_serializer

from .outcomes import outcome

AN_HOUR = 3600

keys = st.lists(st.text(max_size=80) | st.binary(max_size=80), min_size=1, max_size=3)
data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
digests = st.sampled_from([hashlib.sha1, hashlib.sha256, hashlib.sha512, hashlib.blake2b])
derivations = st.sampled_from(["hmac", "concat", "django-concat", "none"])


class Bytes:
    """A serializer that gives bytes."""

    @staticmethod
    def dumps(obj: t.Any) -> bytes:
        return json.dumps(obj).encode()

    @staticmethod
    def loads(data: bytes) -> t.Any:
        assert isinstance(data, bytes)
        return json.loads(data)


def pair(
    secret_keys: t.Sequence[t.Any],
    salt: str | bytes | None = "salt",
    serializer: t.Any = json,
    derivation: str = "hmac",
    digest: t.Any = hashlib.sha1,
) -> tuple[URLSafeTimedSerializer, URLSafeTimedSerializer]:
    """Our serializer and ItsDangerous' with the same settings."""
    ours = signing_serializer(tuple(secret_keys), salt, serializer, derivation, digest)
    theirs = URLSafeTimedSerializer(
        list(secret_keys),
        salt=salt,
        serializer=serializer,
        signer_kwargs={"key_derivation": derivation, "digest_method": digest},
    )
    return ours, theirs


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.9)


@pytest.mark.usefixtures("_still")
class TestSame:
    @given(keys, st.text() | st.binary() | st.none(), derivations, digests, data)
    def test_text_is_the_same_byte_for_byte_and_each_reads_the_others(
        self, secret_keys: list[t.Any], salt: t.Any, derivation: str, digest: t.Any, value: t.Any
    ) -> None:
        ours, theirs = pair(secret_keys, salt, json, derivation, digest)
        text = ours.dumps(value)
        assert text == theirs.dumps(value)
        assert ours.loads(text, max_age=AN_HOUR) == value
        assert theirs.loads(text, max_age=AN_HOUR) == value

    @given(keys, data, st.integers(-3, 3), st.integers(-2, 5))
    def test_old_keys_and_ages_count_the_same(
        self, secret_keys: list[t.Any], value: t.Any, shift: int, max_age: int
    ) -> None:
        ours, theirs = pair(secret_keys)
        for key in secret_keys:
            text = pair([key])[1].dumps(value)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(time, "time", lambda: 1_700_000_000.0 + shift)
                assert outcome(ours.loads, text, max_age=max_age) == outcome(
                    theirs.loads, text, max_age=max_age
                )

    @given(data, st.data())
    def test_a_changed_text_is_refused_with_the_same_error(
        self, value: t.Any, choice: st.DataObject
    ) -> None:
        ours, theirs = pair(["key"])
        text = ours.dumps(value)
        at = choice.draw(st.integers(0, len(text) - 1))
        other = choice.draw(st.text(max_size=2) | st.sampled_from([".", "=", "-", "_", "+"]))
        changed = text[:at] + other + text[at + 1 :]
        assert outcome(ours.loads, changed, max_age=AN_HOUR) == outcome(
            theirs.loads, changed, max_age=AN_HOUR
        )

    @given(st.text() | st.binary() | st.text("Ag.=-_é", max_size=12))
    @example("")
    @example(".")
    @example("..")
    @example("\ud800")
    def test_rubbish_is_refused_with_the_same_error(self, text: t.Any) -> None:
        ours, theirs = pair(["key"])
        assert outcome(ours.loads, text, max_age=AN_HOUR) == outcome(
            theirs.loads, text, max_age=AN_HOUR
        )

    @given(st.binary(max_size=12))
    def test_signed_rubbish_is_refused_with_the_same_error(self, payload: bytes) -> None:
        ours, theirs = pair(["key"])
        signer = theirs.make_signer()
        for signed in (signer.sign(payload), Signer.sign(signer, payload)):
            text = signed.decode("latin-1")
            expected = outcome(theirs.loads, text, max_age=2 * 10**9)
            assert outcome(ours.loads, text, max_age=2 * 10**9) == expected

    @given(data)
    def test_bytes_other_salts_and_timestamps_are_left_to_itsdangerous(self, value: t.Any) -> None:
        ours, theirs = pair(["key"])
        text = ours.dumps(value)
        assert ours.dumps(value, salt="other") == theirs.dumps(value, salt="other")
        for kwargs in (
            {"salt": "other", "max_age": 5},
            {"return_timestamp": True, "max_age": 5},
            {},
        ):
            assert outcome(ours.loads, text, **kwargs) == outcome(theirs.loads, text, **kwargs)
        assert ours.loads(text.encode(), max_age=5) == value


def test_a_serializer_that_gives_bytes() -> None:
    ours, theirs = pair(["key"], serializer=Bytes)
    text = ours.dumps([1])
    assert text == theirs.dumps([1])
    assert ours.loads(text, max_age=5) == [1]
    # Not even where it was given as text.
    assert ours.loads(text.decode(), max_age=5) == [1]  # type: ignore[attr-defined]


@pytest.mark.parametrize("key", [5, ["a", "b"]])
def test_a_key_that_is_none_fails_as_in_itsdangerous(key: t.Any) -> None:
    ours = signing_serializer.__wrapped__((key,), "salt", json, "hmac", hashlib.sha1)
    theirs = pair(["key"])[1]
    theirs.secret_keys = [key]
    errors = []
    for serializer in (ours, theirs):
        with pytest.raises(Exception) as caught:
            serializer.dumps(1)
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]


def test_an_unknown_derivation_is_an_error_when_signing() -> None:
    ours, _ = pair(["key"], derivation="rot13")
    with pytest.raises(TypeError, match="Unknown key derivation method"):
        ours.dumps(1)


def test_too_old_is_told_from_not_ours() -> None:
    ours, _ = pair(["key"])
    text = ours.dumps(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: 1_700_000_006.0)
        with pytest.raises(SignatureExpired, match="Signature age 6 > 5 seconds"):
            ours.loads(text, max_age=5)


def test_deeply_nested_data_is_bad_data() -> None:
    ours, theirs = pair(["key"])
    payload = base64_encode(zlib.compress(b"[" * 100_000))
    signed = theirs.make_signer().sign(b"." + payload)
    with pytest.raises(BadData):
        ours.loads(signed.decode(), max_age=5)


@given(
    st.binary(max_size=900)
    | st.text("ab", max_size=900).map(str.encode)
    | st.lists(st.sampled_from(["user_id", '":"', "csrf_token", "0123", "f"]), max_size=200).map(
        lambda parts: "".join(parts).encode()
    )
)
def test_short_texts_are_compressed_to_the_same_bytes(text: bytes) -> None:
    assert _compress(text) == zlib.compress(text)


def test_the_same_settings_give_the_same_serializer() -> None:
    settings = ("key",), "salt", json, "hmac", hashlib.sha1
    assert signing_serializer(*settings) is signing_serializer(*settings)
    assert signing_serializer(*settings) is not signing_serializer(("k",), *settings[1:])


def test_keys_are_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = signing_serializer(("once",), "salt", json, "hmac", hashlib.sha1)
    text = ours.dumps(1)
    monkeypatch.delattr(Signer, "derive_key")
    assert ours.dumps(1) == text
    assert ours.loads(text, max_age=5) == 1


def test_threads_share_a_serializer() -> None:
    ours = signing_serializer(("threads",), "salt", json, "hmac", hashlib.sha1)

    def work(number: int) -> bool:
        values = [[number, step] for step in range(200)]
        return all(ours.loads(ours.dumps(value), max_age=AN_HOUR) == value for value in values)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


def test_a_key_longer_than_the_hash_s_block_is_hashed_first() -> None:
    ours, theirs = pair(["k" * 200], derivation="none")
    assert ours.dumps([1]) == theirs.dumps([1])
