"""Planning: the smallest number of servers with which every promise of an `slo` is kept, and how sure that is.

`search` holds the search, `drills` what is simulated and for how long, `outages` what clients see until recovery is
due, `arithmetic` what is known before, `judging` the verdict on one number, `remedies` what helps where more servers do
not, and `plans` the answer with its tables.
"""

from realtime_sim.planning.asking import plan
from realtime_sim.planning.drills import Lengths, drills_of
from realtime_sim.planning.judging import Check, Evaluation
from realtime_sim.planning.outages import Outage
from realtime_sim.planning.plans import Plan
from realtime_sim.planning.remedies import Remedy

__all__ = ["Check", "Evaluation", "Lengths", "Outage", "Plan", "Remedy", "drills_of", "plan"]
