"""The reference engine, written to be read: one generator function for each actor, in SimPy, with integer time.

Read in this order: `realtime_sim.engines.clock` (time and ties), `ledger` (what became of every delivery),
`connections` (from a server to a client), `jobs` and `servers` (the event loop), `brokers`, `clients` (the life of one
client), `host` (the machine they share, if they do), `system` (all of it together, and the faults). A publish goes:
publisher → broker → server → connection → client.
"""

from realtime_sim.engines.reference.system import run

__all__ = ["run"]
