"""What one server process pays for each kind of work, and what one connection costs it in memory.

A `CostProfile` is plain numbers. Where each default comes from stands beside it in `realtime_sim.profiles`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

__all__ = ["CostProfile"]


@dataclass(frozen=True, slots=True)
class CostProfile:
    """CPU seconds per kind of job, and bytes per connection, of one server process (one event loop).

    Parameters
    ----------
    handshake_s : float
        CPU to accept one WebSocket or SSE connection, TLS excluded, seconds.
    http_request_s : float
        CPU to answer one plain HTTP request (a poll, a POST, one step of a polling handshake), seconds.
    event_s : float
        CPU to read and decode one message from the broker, before any send, seconds.
    send_s : float
        CPU to send one message to one recipient, apart from its bytes, seconds.
    send_per_byte_s : float
        Further CPU per payload byte and recipient, seconds per byte.
    task_s : float
        Further CPU per recipient where every client has a task of its own, seconds.
    ingest_s : float
        CPU to take one message from a client and publish it, seconds.
    ping_s : float
        CPU for one ping and its pong on one connection, seconds.
    wakeup_s : float
        Further CPU of a job that finds the loop asleep (exceptional first service, Welch 1964), seconds.
    base_memory_bytes, connection_memory_bytes, kernel_memory_bytes : int
        Memory of the idle process, of one connection in the process, of one connection in the kernel, bytes.

    Raises
    ------
    ValueError
        If a figure is negative or not finite.

    Examples
    --------
    >>> costs = CostProfile(handshake_s=624e-6, send_s=20e-6, connection_memory_bytes=14_000)
    >>> costs.memory_bytes(10_000)
    140000000
    >>> costs.connections_in(70_000_000)
    5000
    """

    handshake_s: float = 0.0
    http_request_s: float = 0.0
    event_s: float = 0.0
    send_s: float = 0.0
    send_per_byte_s: float = 0.0
    task_s: float = 0.0
    ingest_s: float = 0.0
    ping_s: float = 0.0
    wakeup_s: float = 0.0
    base_memory_bytes: int = 0
    connection_memory_bytes: int = 0
    kernel_memory_bytes: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{field.name} must be 0 or more and finite, got {value!r}")

    def send_to_one_s(self, payload_bytes: int, own_task: bool = False) -> float:
        """CPU seconds to send one message of `payload_bytes` to one recipient."""
        return self.send_s + self.send_per_byte_s * payload_bytes + (self.task_s if own_task else 0.0)

    def memory_bytes(self, n_connections: int) -> int:
        """Memory of the process and its kernel sockets with `n_connections` open, bytes."""
        return int(self.base_memory_bytes + n_connections * (self.connection_memory_bytes + self.kernel_memory_bytes))

    def connections_in(self, memory_bytes: int) -> int | None:
        """Connections that fit into `memory_bytes`; None where a connection costs nothing."""
        per_connection = self.connection_memory_bytes + self.kernel_memory_bytes
        if per_connection == 0:
            return None
        return max(0, int((memory_bytes - self.base_memory_bytes) // per_connection))
