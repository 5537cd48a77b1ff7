"""Agreement: whether two runs say the same, figure by figure.

Two simulations are held to chance: with the same seeds they share all draws, so their differences replication by
replication have narrow intervals. A simulation beside live runs of the same scenario is held to what is allowed
(`ALLOWED`, shares of the live median), and to the last delivery where the scenario decides a count (`determined`);
of a latency that is off, the hop is named that is off most.
"""

from realtime_sim.agreement.comparing import compare, compare_json
from realtime_sim.agreement.comparison import Change, Comparison
from realtime_sim.agreement.determined import determined, undetermined
from realtime_sim.agreement.hops import MERGED_HOPS
from realtime_sim.agreement.judging import ALLOWED

__all__ = [
    "ALLOWED", "MERGED_HOPS", "Change", "Comparison", "compare", "compare_json", "determined", "undetermined",
]  # fmt: skip
