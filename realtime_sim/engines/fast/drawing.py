"""Times drawn while the run goes on, from the same addresses as in every engine."""

from __future__ import annotations

import numpy as np
from numba import njit

from realtime_sim.draws import Sampler, sample_ns, uniform

EVENT_COST, HANDSHAKE_COST, PUBLISHER_LINK, SERVER_LINK, PUBLISH_COST, COHORT = range(6)
JITTER, SESSION, ABSENCE = range(3)
PER_COHORT = 3


@njit(cache=True)
def cohort_sampler(cohort, what):
    """Row of a cohort's own distribution."""
    return COHORT + PER_COHORT * cohort + what


@njit(cache=True)
def draw_ns(s, which, stream, i, j, k):
    """A time drawn for an address; a constant needs no draw."""
    row = s.samplers[which]
    if row.kind == 0:
        return row.a_ns
    table = slice(row.at, row.at + row.n)
    sampler = Sampler(row.kind, row.a, row.b, s.table_x[table], s.table_y[table])
    return np.int64(sample_ns(sampler, uniform(s.seed, stream, i, j, k)))
