"""Sizing: servers and cost over kinds of servers and levels of growth, and what arithmetic alone would miss.

`growth` makes a scenario larger, `asking` asks how many servers each needs, `table` is the answer. `lag` says what it
would take to leave the count to an autoscaler.
"""

from realtime_sim.sizing.asking import size
from realtime_sim.sizing.growth import grown
from realtime_sim.sizing.lag import Lag, autoscaling_lag
from realtime_sim.sizing.table import Sizing

__all__ = ["Lag", "Sizing", "autoscaling_lag", "grown", "size"]
