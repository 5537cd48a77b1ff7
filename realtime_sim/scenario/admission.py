"""How a server protects itself: handshakes that it turns away before they cost it anything."""

from __future__ import annotations

from pydantic import model_validator

from realtime_sim.scenario.quantities import Count, Duration, Part, Rate, fault

__all__ = ["Admission"]


class Admission(Part):
    """Which requests of handshakes one server turns away at once, at no CPU: HTTP 429 or 503, `throttled` in results.

    Every request of a handshake counts, four of them where a cohort has `polling_handshake`. Polls of an open session
    and clients that are connected from the start do not.

    Parameters
    ----------
    rate : float or str, optional
        Requests that get into the accept queue of one server, per second: a token bucket.
    burst : int
        Size of that bucket: requests that may come at one moment after a pause. At 1 they must come evenly, as with
        `limit_req` of nginx unless it is given a burst.
    concurrency : int, optional
        Requests that may wait or be in service at one server at a time: a semaphore that fails fast.
    retry_after : float or str
        What the answer asks a client to wait (Retry-After, RFC 9110 section 10.2.3), seconds. The client then waits
        as long as its backoff says besides, so that those turned away together do not come back together.
    """

    rate: Rate | None = None
    burst: Count = 1  # ngx_http_limit_req_module: "By default, the maximum burst size is equal to zero", none in excess
    concurrency: Count | None = None
    retry_after: Duration = 0.0  # HTTP has no default: without the header a client has nothing but its backoff

    @model_validator(mode="after")
    def _useful(self) -> Admission:
        if self.burst > 1 and self.rate is None:
            raise fault("must be left out where there is no rate", "set rate as well, as 500/s", at="burst")
        if self.retry_after and self.rate is None and self.concurrency is None:
            raise fault("must be 0 where nobody is turned away", "set rate or concurrency as well", at="retry_after")
        return self
