"""Limits: how many servers each limit asks for on its own, with the arithmetic written out.

The costs are those the engines charge, as mean work a second while everyone is connected and all traffic runs, the
wake-ups of idle loops included. Queueing is not in it: a loop that is busy 70 % of the time still makes messages wait,
and how long is for `simulate` to say.
"""

from realtime_sim.limits.claim import Claim, connections_claim
from realtime_sim.limits.load import Load
from realtime_sim.limits.servers import server_limits, used_by
from realtime_sim.limits.table import Limit, Limits, Storm

__all__ = ["Claim", "Limit", "Limits", "Load", "Storm", "connections_claim", "server_limits", "used_by"]
