"""A sweep on a Dask cluster: servers by broker, three runs of each, and what is done already stays in a file.

python examples/sweep_on_dask.py [SCHEDULER] [FILE]

Without a scheduler, such as tcp://10.0.0.7:8786, a cluster of two processes is started on this machine. Its workers
need this package in the same version. A run keeps one core busy, so give each worker one thread.
"""

import sys
from pathlib import Path

import joblib
from dask.distributed import Client, LocalCluster

from realtime_sim import Scenario, sweep

chat = Scenario.from_yaml(Path(__file__).with_name("chat.yaml"))
over = {"servers.count": [2, 4, 8], "broker.kind": ["redis_pubsub", "redis_streams"]}


def main(scheduler: str = "", file: str = "out/sweep.csv") -> None:
    cluster = scheduler or LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with Client(cluster), joblib.parallel_config(backend="dask"):
        found = sweep(chat, over, replications=3, n_jobs=-1, file=file)
    print(found)
    print(found.table("p99_s"))


if __name__ == "__main__":  # the workers' processes import this file
    main(*sys.argv[1:])
