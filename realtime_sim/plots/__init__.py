"""Plots: the pictures of a run. Every function takes Results and returns Matplotlib axes or a figure.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; lines differ in style as well. Times
carry their unit at every tick and label. Legends stand above the axes, where they cover nothing.
"""

from realtime_sim.plots.latency import hop_waterfall, latency_cdf
from realtime_sim.plots.over_time import connections_per_server, lag, reconnect_rate, replicas
from realtime_sim.plots.page import comparison_figure, save, summary_figure
from realtime_sim.plots.storms import compare_backoff, storm

__all__ = [
    "compare_backoff", "comparison_figure", "connections_per_server", "hop_waterfall", "lag", "latency_cdf",
    "reconnect_rate", "replicas", "save", "storm", "summary_figure",
]  # fmt: skip
