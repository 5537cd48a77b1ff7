"""Planning: the smallest number of servers with which every promise of an `slo` is kept, and how sure that is."""

from realtime_sim.planning.judging import Check, Evaluation
from realtime_sim.planning.plans import Plan
from realtime_sim.planning.remedies import Remedy

__all__ = ["Check", "Evaluation", "Plan", "Remedy"]
