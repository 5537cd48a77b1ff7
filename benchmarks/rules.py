"""What the works have in common with every peer: sizes, times and rates. It imports nothing, for peers' processes."""

SERVICE_S, UTILIZATION = 1e-3, 0.8
"""M/M/1 and M/D/1: the mean wait is 4 and 2 ms, its p99 21.91 and 10.36 ms."""

N_SERVERS, N_PUBLISHES, SEND_S, COPY_S, LINK_S = 50, 10, 5e-6, 10e-6, 1e-3
RTT_MEDIAN_S, RTT_P99_S = 0.04, 0.25
"""Broadcast: ten publishes, one each second, from a broker to 50 servers, each to its share of all clients."""

N_STORM_SERVERS, HANDSHAKE_S, BACKLOG, TIMEOUT_S, BASE_S, CAP_S = 20, 2e-3, 2_000, 5.0, 1.0, 30.0
"""Storm: all clients lose the connection at once, and come back with full jitter."""
