"""Sizing: servers and cost over kinds of servers and levels of growth, and what arithmetic alone would miss.

`growth` makes a scenario larger, `asking` asks how many servers each needs, `table` is the answer. `steps` says what
each thing adds that a static calculator leaves out, `lag` what it would take to leave the count to an autoscaler.
"""

from realtime_sim.sizing.asking import size
from realtime_sim.sizing.growth import grown
from realtime_sim.sizing.lag import Lag, autoscaling_lag
from realtime_sim.sizing.shares import share_of_promise, worst_of
from realtime_sim.sizing.steps import Step, lag_of, steps_of
from realtime_sim.sizing.table import Sizing

__all__ = [
    "Lag", "Sizing", "Step", "autoscaling_lag", "grown", "lag_of", "share_of_promise", "size", "steps_of", "worst_of",
]  # fmt: skip
