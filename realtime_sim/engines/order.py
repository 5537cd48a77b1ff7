"""The written order of events that fall on the same nanosecond. Every engine follows it.

Events are handled by (time, phase, server, client, message). What an event causes at once, such as the next job of a
loop that has become free, is done before the next event. Nothing depends on the order of insertion.
"""

from __future__ import annotations

import enum

__all__ = ["Phase"]


class Phase(enum.IntEnum):
    """What happens first among events at one time."""

    SAMPLE = 0  # the monitor sees the state before anything else at that time
    FAULT = 1
    HEALTH = 2  # the balancer notices that a server is dead
    SESSION_END = 3  # a user leaves
    CONNECTION_LOST = 4  # a client notices
    SERVER_NOTICES = 5  # a server notices that a client is gone
    JOB_END = 6  # a server's loop is free
    BROKER_JOB_END = 7  # the broker is free
    PUBLISH = 8
    BATCH = 9  # a producer's linger is over
    AT_BROKER = 10
    AT_SERVER = 11
    REQUEST = 12  # a client's request reaches the balancer
    ANSWER = 13  # its answer reaches the client
    SENT = 14  # a copy for a long-polling client leaves the loop
    RECEIVED = 15
    HOLD_OVER = 16  # a parked poll is answered empty
    IDLE_OVER = 17  # a proxy has seen nothing for its idle timeout: what arrives at the same time still counts
    HEARTBEAT = 18
    DEADLINE = 19  # a client gives up waiting: an answer at the same time still counts
    RETRY = 20
