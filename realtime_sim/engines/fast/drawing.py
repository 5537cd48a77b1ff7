"""Times drawn while the run goes on, from the same addresses as in every engine."""

from __future__ import annotations

import numpy as np

from realtime_sim.draws import Sampler, Stream, sample_ns, uniform
from realtime_sim.engines.fast.compiling import compiled

EVENT_COST, HANDSHAKE_COST, PUBLISHER_LINK, SERVER_LINK, PUBLISH_COST, AGE, COHORT = range(7)
JITTER, SESSION, ABSENCE = range(3)
PER_COHORT = 3


# Compiled code reads plain numbers, no attributes of a class.
ABSENCE_STREAM = Stream.ABSENCE
AGE_STREAM = Stream.AGE
BACKOFF_STREAM = Stream.BACKOFF
BALANCE_STREAM = Stream.BALANCE
BROKER_COST_STREAM = Stream.BROKER_COST
CLIENT_STREAM = Stream.CLIENT
DETECTION_STREAM = Stream.DETECTION
EVENT_COST_STREAM = Stream.EVENT_COST
FAULT_STREAM = Stream.FAULT
HANDSHAKE_COST_STREAM = Stream.HANDSHAKE_COST
JITTER_STREAM = Stream.JITTER
PUBLISHER_LINK_STREAM = Stream.PUBLISHER_LINK
SERVER_LINK_STREAM = Stream.SERVER_LINK
SESSION_STREAM = Stream.SESSION


@compiled()
def cohort_sampler(cohort, what):
    """Row of a cohort's own distribution."""
    return COHORT + PER_COHORT * cohort + what


@compiled(apart=True)
def draw_ns(s, which, stream, i, j, k):
    """A time drawn for an address; a constant needs no draw."""
    row = s.samplers[which]
    if row.kind == 0:
        return row.a_ns
    table = slice(row.at, row.at + row.n)
    sampler = Sampler(row.kind, row.a, row.b, s.table_x[table], s.table_y[table])
    return np.int64(sample_ns(sampler, uniform(s.seed, stream, i, j, k)))
