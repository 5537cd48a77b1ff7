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
    REACHED = 3  # a server has reached the broker again
    SESSION_END = 4  # a user leaves
    CONNECTION_LOST = 5  # a client notices
    SERVER_NOTICES = 6  # a server notices that a client is gone
    AGED = 7  # a server closes a connection that is old enough
    JOB_END = 8  # a server's loop is free
    BROKER_JOB_END = 9  # the broker is free
    PROCESS_JOB_END = 10  # the publisher of a host is free, or a process that plays clients
    PUBLISH = 11
    BATCH = 12  # a producer's linger is over
    AT_BROKER = 13
    AT_SERVER = 14
    REQUEST = 15  # a client's request reaches the balancer
    ANSWER = 16  # its answer reaches the client
    SENT = 17  # a copy for a long-polling client leaves the loop
    RECEIVED = 18  # a copy reaches its client, or the process that plays it
    HOLD_OVER = 19  # a parked poll is answered empty
    IDLE_OVER = 20  # a proxy has seen nothing for its idle timeout: what arrives at the same time still counts
    HEARTBEAT = 21
    DEADLINE = 22  # a client gives up waiting: an answer at the same time still counts
    RETRY = 23
