"""Times drawn in a steady run, one by one or a block at once, from the same addresses as in every engine."""

from __future__ import annotations

import numpy as np

from realtime_sim.draws import LAST_CLOSED_FORM, Sampler, closed_form_ns, fill_samples_ns, sample_ns, uniform
from realtime_sim.engines.fast.compiling import NUMBERS, compiled
from realtime_sim.engines.fast.memory import array_of
from realtime_sim.engines.fast.steady_state import STEADY


@compiled(s=STEADY)
def draw_ns(s, which, stream, i, j, k):
    """A time drawn for an address; a constant needs no draw."""
    row = s.samplers[which]
    if row.kind == 0:
        return row.a_ns
    u = uniform(s.seed, stream, i, j, k)
    if row.kind <= LAST_CLOSED_FORM:
        return closed_form_ns(row.kind, row.a, row.b, u)
    table = slice(row.at, row.at + row.n)
    return np.int64(sample_ns(Sampler(row.kind, row.a, row.b, s.table_x[table], s.table_y[table]), u))


@compiled(s=STEADY, u=array_of("f8"), out=NUMBERS)
def fill_ns(s, which, u, out):
    """The times at a block of uniform draws."""
    row = s.samplers[which]
    table = slice(row.at, row.at + row.n)
    fill_samples_ns(row.kind, row.a, row.b, s.table_x[table], s.table_y[table], u, out)
