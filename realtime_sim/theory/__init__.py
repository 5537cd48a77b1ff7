"""Closed-form answers: what a run must show where mathematics already knows the result.

`queues` holds mean figures of single queues, `waits` their distributions in closed form, `inversion` those found from
transforms, `wakeups` the work of waking an idle server, `outages` what piles up behind a stopped one, `fanout` one
message sent to many, `slowest` the last of n copies, and `transport` the arithmetic of connections. Times are seconds,
rates are per second, queues are first come first served and in steady state. Waiting time excludes service, sojourn
time includes it. A queue that gets more work than it can do (`utilization` of 1 or more) is no error: its waits and
lengths are `inf`.

Examples
--------
>>> from realtime_sim import theory
>>> round(theory.mm1(arrival_rate_per_s=0.8, service_s=1.0).mean_wait_s, 9)
4.0
>>> round(theory.md1_wait_quantile_s(arrival_rate_per_s=0.8, service_s=1.0, p=0.99), 3)
10.356
"""

from realtime_sim.theory.fanout import (
    FanoutFigures,
    fanout_md1,
    fanout_md1_delay_cdf,
    fanout_md1_delay_quantile_s,
    mxm1,
    node_copies,
    serial_fanout_s,
)
from realtime_sim.theory.inversion import mg1_wait_quantile_s, mg1_wait_tail
from realtime_sim.theory.outages import catch_up_s
from realtime_sim.theory.queues import (
    QueueFigures,
    erlang_c,
    little,
    md1,
    mg1,
    mg1_exceptional_first,
    mm1,
    mmc,
)
from realtime_sim.theory.slowest import max_of_exponentials, max_of_exponentials_quantile_s, max_of_n_quantile
from realtime_sim.theory.transport import (
    LongPollAnswers,
    LongPollDelay,
    level_time_s,
    long_poll_answers_per_s,
    long_poll_delay_s,
    pubsub_cut_after_s,
    websockets_memory_bytes,
)
from realtime_sim.theory.waits import (
    md1_wait_cdf,
    md1_wait_quantile_s,
    md1_wait_tail,
    mm1_sojourn_quantile_s,
    mm1_wait_quantile_s,
    mmc_wait_quantile_s,
)
from realtime_sim.theory.wakeups import utilization_with_wakeups

__all__ = [
    "FanoutFigures",
    "LongPollAnswers",
    "LongPollDelay",
    "QueueFigures",
    "catch_up_s",
    "erlang_c",
    "fanout_md1",
    "fanout_md1_delay_cdf",
    "fanout_md1_delay_quantile_s",
    "level_time_s",
    "little",
    "long_poll_answers_per_s",
    "long_poll_delay_s",
    "max_of_exponentials",
    "max_of_exponentials_quantile_s",
    "max_of_n_quantile",
    "md1",
    "md1_wait_cdf",
    "md1_wait_quantile_s",
    "md1_wait_tail",
    "mg1",
    "mg1_exceptional_first",
    "mg1_wait_quantile_s",
    "mg1_wait_tail",
    "mm1",
    "mm1_sojourn_quantile_s",
    "mm1_wait_quantile_s",
    "mmc",
    "mmc_wait_quantile_s",
    "mxm1",
    "node_copies",
    "pubsub_cut_after_s",
    "serial_fanout_s",
    "utilization_with_wakeups",
    "websockets_memory_bytes",
]
