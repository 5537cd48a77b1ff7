"""Sweeps: one scenario with many values, and which of its inputs moves a figure most.

`combinations` makes the scenarios, `figures` says what is kept of a run, `journal` keeps it, `sweeping` runs them all
and `answer` is what they found. `inputs`, `methods` and `influence` ask this of chosen points and read the answer.
"""

from realtime_sim.sweeps.answer import Sweep
from realtime_sim.sweeps.figures import FIGURES
from realtime_sim.sweeps.influence import Sensitivity, sensitivity
from realtime_sim.sweeps.sweeping import sweep

__all__ = ["FIGURES", "Sensitivity", "Sweep", "sensitivity", "sweep"]
