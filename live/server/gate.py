"""The gate: who is let in, and how much a client may send. It knows no transport; refusals are HTTP answers."""

from __future__ import annotations

import time
from collections.abc import Sequence

from websockets.frames import CloseCode

from live.server.hub import Subscriber
from live.server.settings import ServerSettings
from live.tokens import BadToken, read_token
from realtime_sim.policies import overflow, token_bucket

__all__ = ["Allowance", "Gate", "Refused"]


class Refused(Exception):
    """A request that is turned away.

    Parameters
    ----------
    status : int
        Of HTTP: 401 without a good token, 403 from a wrong origin, 404 for a session that is not known here, 429 when
        there are too many, 503 when there is no room.
    reason : str
        One line.
    retry_after_s : float
        What the answer asks the client to wait, 0 for nothing.
    """

    def __init__(self, status: int, reason: str, retry_after_s: float = 0.0) -> None:
        self.status, self.reason, self.retry_after_s = status, reason, retry_after_s
        super().__init__(f"{status} {reason}")

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        return {"Retry-After": f"{self.retry_after_s:g}"} if self.retry_after_s else {}


class Gate:
    """Admission of one server.

    Parameters
    ----------
    settings : ServerSettings
        Its limits.
    cohort_of : sequence of int
        Cohort of each client.
    """

    def __init__(self, settings: ServerSettings, cohort_of: Sequence[int]) -> None:
        self._settings = settings
        self._secret = bytes.fromhex(settings.secret)
        self._cohort_of = cohort_of
        self._expected_ns = 0
        rate = settings.admission["rate"]
        self._bucket_ns = None if rate is None else token_bucket.bucket_ns(rate, settings.admission["burst"])
        self.is_draining = False
        self.n_handshaking = 0

    def identify(self, token: str, origins: Sequence[str]) -> int:
        """The client that a request comes from, by its token; `origins` are its `Origin` headers. Raises `Refused`."""
        if origins and (len(origins) > 1 or origins[0] not in self._settings.origins):
            raise Refused(403, "this origin is not allowed")
        try:
            client = read_token(self._secret, token, time.time())
        except BadToken as error:
            raise Refused(401, f"token refused: {error}") from None
        if not 0 <= client < len(self._cohort_of):
            raise Refused(401, "token refused: no such client")
        return client

    def cohort_of(self, client: int) -> int:
        """The number of a client's cohort."""
        return int(self._cohort_of[client])

    def admit(self, n_connections: int) -> None:
        """One more handshake is let in, or `Refused`. What is let in counts until `handshake_over`."""
        settings, admission = self._settings, self._settings.admission
        if self.is_draining:
            raise Refused(503, "this server is going away")
        concurrency = admission["concurrency"]
        if concurrency is not None and self.n_handshaking >= concurrency:
            raise Refused(429, "too many handshakes at a time", admission["retry_after"])
        if self._bucket_ns is not None:
            expected_ns = token_bucket.arrive.py_func(self._expected_ns, time.monotonic_ns(), *self._bucket_ns)
            if expected_ns == token_bucket.TURNED_AWAY:
                raise Refused(429, "too many handshakes a second", admission["retry_after"])
            self._expected_ns = expected_ns
        if settings.max_connections is not None and n_connections >= settings.max_connections:
            raise Refused(503, "no room for another connection")
        self.n_handshaking += 1

    def handshake_over(self) -> None:
        """A handshake that was let in has come to its end, whatever that was."""
        self.n_handshaking -= 1

    def takes(self, subscriber: Subscriber, n_bytes: int) -> bool:
        """Whether a send buffer takes so many bytes more; a client that reads too slowly may be cut off instead."""
        rules = self._settings.cohorts[subscriber.cohort]
        if not rules.limit_bytes:
            return True
        code = overflow.REGISTRY[rules.overflow].code
        decided = overflow.DECISIONS[
            overflow.admit_kernel.py_func(code, rules.limit_bytes, subscriber.buffered_bytes, n_bytes)
        ]
        if decided == "disconnect":
            subscriber.close(CloseCode.POLICY_VIOLATION, "too slow")
        return decided == "accept"


class Allowance:
    """How many frames one client may send: a token bucket of its own.

    Examples
    --------
    >>> allowance = Allowance(rate_per_s=10.0, burst=2)
    >>> [allowance.takes(now_ns) for now_ns in (0, 0, 0, 100_000_000)]
    [True, True, False, True]
    """

    __slots__ = ("_bucket_ns", "_expected_ns")

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._bucket_ns = token_bucket.bucket_ns(rate_per_s, burst)
        self._expected_ns = 0

    def takes(self, now_ns: int) -> bool:
        """Whether one more is within it."""
        expected_ns = token_bucket.arrive.py_func(self._expected_ns, now_ns, *self._bucket_ns)
        if expected_ns == token_bucket.TURNED_AWAY:
            return False
        self._expected_ns = expected_ns
        return True
