"""Plots: the pictures of a run. Functions take Results, or a Comparison of two, and return Matplotlib axes or a figure.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; lines differ in style as well. Times
carry their unit at every tick and label. Legends stand above the axes, where they cover nothing.
"""

from realtime_sim.plots.agreement import agreement_cdf, agreement_hops, connections_of
from realtime_sim.plots.inline import PAGE_COLOURS, inline_svg
from realtime_sim.plots.latency import hop_waterfall, latency_cdf, latency_over_time
from realtime_sim.plots.message import message_steps
from realtime_sim.plots.over_time import connections_per_server, lag, reconnect_rate, replicas
from realtime_sim.plots.page import comparison_figure, save, summary_figure
from realtime_sim.plots.planning import latency_around, limits_used, promises_by_servers, servers_by_step
from realtime_sim.plots.sensitivity import sensitivity_bars
from realtime_sim.plots.states import storm_states, storm_steps
from realtime_sim.plots.steps import Step, Steps
from realtime_sim.plots.storms import compare_backoff, storm
from realtime_sim.plots.topology import topology
from realtime_sim.plots.utilization import utilization_curve

__all__ = [
    "PAGE_COLOURS", "Step", "Steps", "agreement_cdf", "agreement_hops", "compare_backoff", "comparison_figure",
    "connections_of", "connections_per_server", "hop_waterfall", "inline_svg", "lag", "latency_around", "latency_cdf",
    "latency_over_time", "limits_used", "message_steps", "promises_by_servers", "reconnect_rate", "replicas", "save",
    "sensitivity_bars", "servers_by_step", "storm", "storm_states", "storm_steps", "summary_figure", "topology",
    "utilization_curve",
]  # fmt: skip
