"""Tokens: who a client is, signed with a secret that the servers share (HMAC-SHA256), and until when that holds.

A browser can give neither a WebSocket nor an EventSource a header, so a token stands in the query; it is short-lived.
"""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["BadToken", "read_token", "write_token"]


class BadToken(ValueError):
    """A token that no server has signed, or that is too old."""


def write_token(secret: bytes, client: int, expires_s: int) -> str:
    """A token for a client, good until `expires_s` seconds of the clock that whoever reads it goes by.

    Examples
    --------
    >>> token = write_token(b"secret", client=7, expires_s=100)
    >>> read_token(b"secret", token, now_s=99)
    7
    >>> read_token(b"secret", token.replace("7.", "8.", 1), now_s=99)
    Traceback (most recent call last):
    live.tokens.BadToken: the signature is wrong
    """
    text = f"{client}.{expires_s}"
    return f"{text}.{_signature(secret, text)}"


def read_token(secret: bytes, token: str, now_s: float) -> int:
    """The number of the client that a token is for.

    Raises
    ------
    BadToken
        If it was not signed with `secret`, or has expired.
    """
    text, _, signature = token.rpartition(".")
    if not token.isascii() or not hmac.compare_digest(signature.encode(), _signature(secret, text).encode()):
        raise BadToken("the signature is wrong")
    client, expires_s = map(int, text.split("."))  # signed, so written by `write_token`
    if now_s >= expires_s:
        raise BadToken("it has expired")
    return client


def _signature(secret: bytes, text: str) -> str:
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
