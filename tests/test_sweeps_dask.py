"""On a Dask cluster a sweep has the same frame as on this machine, to the last bit."""

from __future__ import annotations

import runpy
import warnings
from collections.abc import Iterator
from pathlib import Path

import joblib
import pandas as pd
import pytest

from realtime_sim import sweep
from tests.conftest import small

with warnings.catch_warnings(action="ignore"):  # what other packages think of each other is not ours
    distributed = pytest.importorskip("distributed")

CASE = small(
    duration=4,
    clients=[{"name": "phones", "count": 40, "network": {"rtt": {"median": "40ms", "p99": "250ms"}}}],
    broker={"kind": "redis_pubsub"},
    traffic=[{"name": "news", "rate": 20}],
)
OVER = {"servers.count": [1, 2, 4], "broker.kind": ["redis_pubsub", "redis_streams"]}
ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.filterwarnings("ignore")  # those of Dask and its loops


@pytest.fixture(scope="module")
def client() -> Iterator:
    """Two processes of one thread each."""
    with (
        warnings.catch_warnings(action="ignore"),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_a_cluster_gives_the_frame_of_this_machine(client, tmp_path):
    file = tmp_path / "sweep.csv"
    with joblib.parallel_config(backend="dask"):
        far = sweep(CASE, OVER, replications=3, n_jobs=-1, file=file)
    pd.testing.assert_frame_equal(far.frame, sweep(CASE, OVER, replications=3, n_jobs=1).frame)
    assert len(pd.read_csv(file)) == 18
    executed = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert len(executed) == 2 and min(executed.values()) > 0 and sum(executed.values()) >= 18


def test_the_example_runs_and_keeps_its_runs(client, tmp_path, capsys):
    main = runpy.run_path(str(ROOT / "examples" / "sweep_on_dask.py"), run_name="example")["main"]
    main(client.scheduler.address, str(tmp_path / "sweep.csv"))
    assert "6 combinations, 3 runs of each" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "sweep.csv")) == 18
