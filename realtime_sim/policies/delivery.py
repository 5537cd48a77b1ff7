"""Delivery: what becomes of a message that passed while its client was away.

The rule: it is replayed only if two things come together. The client must name the last message it saw when it returns
(resume: `Last-Event-ID` of server-sent events, or an offset a protocol adds), and the broker must still have what came
after it (history: Redis Streams and Kafka; Redis Pub/Sub forgets at once). One without the other loses the message.
History is finite: only the newest messages within it can be replayed.

References
----------
WHATWG HTML, section 9.2, `Last-Event-ID`. Redis documentation: Pub/Sub delivers "at most once"; Streams keep entries
until they are trimmed. Kafka documentation, "Message Delivery Semantics".
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from realtime_sim.policies import _checks

__all__ = [
    "GUARANTEES",
    "KEEPS_HISTORY",
    "UNLIMITED",
    "guarantee",
    "missed_fate",
    "replayable",
    "replayable_kernel",
]

UNLIMITED = -1
"""History limit, for `replayable_kernel`, of a log that is never trimmed."""

KEEPS_HISTORY = MappingProxyType(
    {
        "none": False, "redis_pubsub": False, "redis_streams": True, "kafka": True, "nats": False,
        "nats_jetstream": True,
    }
)  # fmt: skip
"""Whether a broker still has a message after it went out, by the kind a scenario names."""

GUARANTEES = MappingProxyType(
    {
        "at_most_once": "some messages may be lost, none comes twice",
        "exactly_once_in_order": "none is lost and none comes twice, as long as history reaches back to the loss",
        "at_least_once": "none is lost, as long as history reaches back to the loss; some may come twice",
        "no_guarantee": "some may be lost and some may come twice",
    }
)
"""What each answer of `guarantee` promises one client."""


def missed_fate(client_resumes: bool, broker_keeps_history: bool) -> str:
    """What becomes of a message that passed while its client was away.

    Parameters
    ----------
    client_resumes : bool
        Whether the client names the last message it saw when it returns.
    broker_keeps_history : bool
        Whether the broker still has the messages after it.

    Returns
    -------
    str
        `"replay"` or `"lost"`.

    Notes
    -----
    A Redis Stream behind a WebSocket without resume loses as much as Pub/Sub does: durability ends at the client that
    cannot say where it stopped.

    Examples
    --------
    >>> missed_fate(client_resumes=True, broker_keeps_history=KEEPS_HISTORY["redis_streams"])
    'replay'
    >>> missed_fate(client_resumes=True, broker_keeps_history=KEEPS_HISTORY["redis_pubsub"])
    'lost'
    """
    return "replay" if client_resumes and broker_keeps_history else "lost"


def guarantee(client_resumes: bool, broker_keeps_history: bool, redelivers: bool = False) -> str:
    """What a client is promised across reconnects.

    Parameters
    ----------
    client_resumes : bool
        Whether the client names the last message it saw when it returns.
    broker_keeps_history : bool
        Whether the broker still has the messages after it.
    redelivers : bool
        Whether something on the way sends again what was not acknowledged in time, as a consumer group does for a
        server that died between sending and acknowledging.

    Returns
    -------
    str
        A key of `GUARANTEES`.

    Notes
    -----
    `"exactly_once_in_order"` assumes that the client remembers the number of the last message it handled, that messages
    are numbered in one order, and that history reaches back far enough; the client then sees no gap and no repeat. A
    client that handles a message and forgets its number, by a crash in between, gets it again: at least once.

    Examples
    --------
    >>> guarantee(client_resumes=False, broker_keeps_history=True)
    'at_most_once'
    >>> guarantee(client_resumes=True, broker_keeps_history=True)
    'exactly_once_in_order'
    >>> guarantee(client_resumes=True, broker_keeps_history=True, redelivers=True)
    'at_least_once'
    """
    if missed_fate(client_resumes, broker_keeps_history) == "replay":
        return "at_least_once" if redelivers else "exactly_once_in_order"
    return "no_guarantee" if redelivers else "at_most_once"


@njit(cache=True)
def replayable_kernel(n_missed, history_limit):
    """How many of the missed messages history still holds: the newest `history_limit` of them.

    Parameters
    ----------
    n_missed : int
        Messages after the last one the client saw, 0 or more.
    history_limit : int
        Most messages the log keeps, 0 or more, or -1 for no limit.

    Returns
    -------
    int
        On [0, n_missed].

    Examples
    --------
    >>> replayable_kernel(150, 100), replayable_kernel(150, UNLIMITED)
    (100, 150)
    """
    return n_missed if history_limit < 0 else min(n_missed, history_limit)


def replayable(n_missed: ArrayLike, history_limit: int | None) -> int | np.ndarray:
    """How many of the missed messages can be replayed, for one client or for many.

    Parameters
    ----------
    n_missed : int or ndarray of int
        Messages after the last one the client saw, 0 or more, of the log that the limit belongs to.
    history_limit : int or None
        Most messages the log keeps, 0 or more; None for no limit.

    Returns
    -------
    int or ndarray of int
        On [0, n_missed]. The rest is lost.

    Raises
    ------
    ValueError
        If a number is negative or not whole.

    Notes
    -----
    The newest messages are the ones replayed. Redis trims `MAXLEN ~` in blocks and so keeps some more than the limit.
    Some servers replay nothing once there is a gap, as Socket.IO's connection state recovery does, and leave it to the
    client to load its state anew.

    Examples
    --------
    >>> replayable(150, 100), replayable(150, None)
    (100, 150)
    >>> replayable([0, 80, 150], 100).tolist()
    [0, 80, 100]
    """
    missed = _checks.counts("n_missed", n_missed)
    limit = UNLIMITED if history_limit is None else _checks.whole("history_limit", history_limit, 0)
    kept = [replayable_kernel(int(n), limit) for n in missed.flat]
    return kept[0] if missed.ndim == 0 else np.array(kept, dtype=np.int64).reshape(missed.shape)
