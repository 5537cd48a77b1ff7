"""A live run answers as a simulation does: everything arrives, a loss has its cause, and nothing is left behind."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import live
from live.dashboard import Watching
from live.dashboard.watching import OVER
from realtime_sim.errors import ScenarioError, UnsupportedFeature
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from tests.test_live_dashboard import viewer
from tests.test_live_shared import is_running, wait_until

ROOT = Path(__file__).parent.parent

SOON = {"restart_after": 0.2}
QUICK = {"policy": "full_jitter", "base": "200ms", "cap": "1s"}


def scenario(**changes):
    """Two servers, rooms of five, three seconds."""
    plain = {
        "name": "live", "seed": 3, "duration": 3, "warmup": 0, "drain": 8, "sample_interval": 0.5,
        "clients": [{"name": "phones", "count": 40, "reconnect": QUICK}],
        "servers": {"count": 2, "startup": 0.5}, "broker": {"kind": "redis_pubsub"},
        "rooms": [{"name": "group", "count": 10, "members": 5}],
        "traffic": [{"name": "chat", "to": "group", "rate": 40, "payload": "200B"}],
    }  # fmt: skip
    return Scenario(**plain | changes)


def run(case, **options):
    return live.run(case, progress=lambda _: None, **options)


def children_of(pid):
    """Processes whose parent is `pid`, theirs included."""
    found, parents = [], {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    level = {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found += level
    return found


@pytest.mark.live
@pytest.mark.parametrize(
    "clients",
    [
        [{"name": "phones", "count": 40}],
        [{"name": "desks", "count": 40, "transport": "sse"}],
        [{"name": "polls", "count": 40, "transport": "long_polling"}],
    ],
    ids=["websocket", "sse", "long_polling"],
)
def test_without_faults_everything_arrives_once_as_the_simulation_says(clients):
    case = scenario(clients=clients, balancer={"affinity": "cookie"})
    found, simulated = run(case), simulate(case)
    total, expected = found.deliveries.loc["total"], simulated.deliveries.loc["total"]
    assert total["expected"] == expected["expected"] == total["delivered"]
    assert total["lost"] == total["dropped"] == total["duplicate"] == 0
    assert found.engine == "live"
    assert found.connections["connected_at_start"] == 40
    assert found.hops["mean_s"].iloc[:-1].sum() == pytest.approx(found.hops["mean_s"].iloc[-1])
    assert found.servers["peak_connections"].tolist() == simulated.servers["peak_connections"].tolist()
    assert found.timeseries["connections"].iloc[-1] == 40


@pytest.mark.live
def test_who_opens_the_dashboard_at_once_sees_the_run_to_its_end_and_nobody_hang_up():
    seen, reading = [], []

    async def read(url):
        async with viewer(url) as stream:
            while (event := await stream.event()) is not None:
                seen.append(event[1:])

    run(scenario(duration=2), watchers=[Watching(0, lambda url: reading.append(asyncio.create_task(read(url))))])
    (task,) = reading
    assert task.done() and task.exception() is None
    *shots, (kind, over) = seen
    assert (kind, over["text"]) == ("over", OVER)
    connected = [sum(shot["active_connections"]) for kind, shot in shots if kind == "snapshot"]
    assert len(connected) >= 3 and set(connected) == {40}


@pytest.mark.live
def test_the_network_of_the_scenario_is_waited_for_and_added():
    case = scenario(clients=[{"name": "phones", "count": 20, "network": {"rtt": "100ms"}, "ramp_up": 1}])
    found = run(case)
    assert found.latency_s()["p50"].value > 0.05
    assert found.connections["attempts"] == 20
    assert found.timeseries["connections"].iloc[-1] == 20


@pytest.mark.live
@pytest.mark.parametrize("kind", ["redis_pubsub", "redis_streams"])
def test_a_killed_server_costs_pub_sub_what_was_published_meanwhile_and_a_log_nothing(kind):
    case = scenario(
        duration=5, broker={"kind": kind},
        clients=[{"name": "phones", "count": 40, "resume": True, "reconnect": QUICK}],
        faults=[{"at": 1.5, "kind": "kill_server", "server": 0, "restart_after": 0.2}],
    )  # fmt: skip
    found = run(case)
    total = found.deliveries.loc["total"]
    (fault,) = found.recovery.to_dict("records")
    assert fault["affected"] == fault["recovered"] == 20
    assert 0 < fault["p100_s"] < 5
    assert total["expected"] == total["delivered"] + total["lost"]
    assert (total["lost"] > 0) == (kind == "redis_pubsub")
    assert total["lost"] == total["lost_offline"] + total["lost_server_died"]
    assert total["duplicate"] == 0
    assert found.decisions["action"].tolist()[:2] == ["kill", "order server"]
    assert len(found.servers) == 3


@pytest.mark.live
def test_a_silent_death_is_noticed_by_keepalives_alone():
    pings = {"interval": "500ms", "timeout": "500ms"}
    case = scenario(
        duration=4, clients=[{"name": "phones", "count": 20, "keepalive": pings, "reconnect": QUICK}],
        faults=[{"at": 1, "kind": "kill_server", "server": 0, "notice": "silent"}],
    )  # fmt: skip
    (fault,) = run(case).recovery.to_dict("records")
    assert fault["affected"] == fault["recovered"] == 10
    assert fault["p50_s"] > 0.5


@pytest.mark.live
def test_a_server_that_plays_dead_keeps_its_ports_and_another_takes_its_place():
    case = scenario(duration=4, faults=[{"at": 1, "kind": "kill_server", "notice": "silent", "server": 0} | SOON])
    found = run(case)
    assert found.decisions["action"].tolist()[-1] == "start server"
    assert found.timeseries["servers_ready"].iloc[-1] == 2


@pytest.mark.live
def test_a_server_that_is_told_to_end_while_it_stands_still_does_so_when_it_goes_on():
    """Its clients, who never time out here, are sent away then, and not lost until the run is over."""
    still = {"at": 1, "kind": "pause_server", "server": 0, "lasts": 1.5}
    case = scenario(duration=5, faults=[still, {"at": 1.2, "kind": "drain_server", "server": 0, "over": 0.5}])
    found = run(case)
    assert found.connections["closed_abnormal"] == 0
    assert found.connections["reconnects"] == 20
    assert found.timeseries["connections"].iloc[-1] == 40


@pytest.mark.live
def test_servers_that_start_at_the_same_time_are_told_apart_when_one_of_them_dies():
    def chaos(env, cluster):
        yield env.timeout("500ms")
        for restart in [cluster.restart(number) for number in (0, 1, 2)]:
            number = yield restart
            yield env.timeout("300ms")
            cluster.kill(number)

    found = run(scenario(duration=4, servers={"count": 4, "startup": 0.2}), control=[chaos])
    assert found.decisions["action"].tolist().count("kill") == 6
    assert found.timeseries["servers_ready"].iloc[-1] == 1


@pytest.mark.live
def test_a_control_process_of_ones_own_acts_on_real_processes():
    def chaos(env, cluster):
        yield env.timeout("1s")
        fullest = max(cluster.observe().ready, key=lambda server: server.connections)
        number = yield cluster.restart(fullest.number)
        yield cluster.drain(1 - fullest.number, over="200ms")
        cluster.note("done", "", f"server {number} is left")

    found = run(scenario(duration=4), control=[chaos])
    actions = found.decisions["action"].tolist()
    assert actions == ["kill", "order server", "start server", "drain", "stop", "done"]
    assert found.connections["closed_going_away"] == 40
    assert found.timeseries["servers_ready"].iloc[-1] == 1
    assert found.timeseries["connections"].iloc[-1] == 40


@pytest.mark.live
def test_the_broker_stops_and_comes_back():
    case = scenario(
        duration=4, broker={"kind": "redis_pubsub", "reconnect_delay": "200ms"},
        faults=[{"at": 1, "kind": "stop_broker", "lasts": 1}],
    )  # fmt: skip
    total = run(case).deliveries.loc["total"]
    assert total["lost"] == total["lost_broker_down"] + total["lost_server_away"] + total["lost_unfinished"]
    assert 0.2 * total["expected"] < total["lost"] < 0.5 * total["expected"]


@pytest.mark.live
def test_conditions_say_what_was_measured_with():
    found = run(scenario())
    assert found.conditions["broker"].lower().startswith("valkey")
    names = [process["name"] for process in found.conditions["processes"]]
    assert names == ["server 0", "server 1", "clients 0", "publisher"]
    assert all(process["cpu_ratio"] > 0 for process in found.conditions["processes"])
    assert found.to_plain()["conditions"]["host_cores"] >= 1


# Ends.

SCRIPT = (
    "import live\nfrom tests.test_live_run import scenario\n"
    "print('begun', flush=True)\nlive.run(scenario(duration=30), progress=lambda _: None)"
)

IN_A_LOOP = (
    "import asyncio\nfrom tests.test_live_run import run, scenario\n"
    "async def cell(): run(scenario(duration=30))\n"
    "asyncio.new_event_loop().run_until_complete(cell())"
)
"""As in a notebook, where the loop is somebody else's and an interrupt reaches its thread alone."""


def started(script=SCRIPT):
    """A live run in a process of its own, with all of its processes up."""
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    )  # fmt: skip
    assert wait_until(lambda: len(children_of(parent.pid)) >= 6, 30)
    return parent, children_of(parent.pid)


def folder_of(children):
    """The folder of a run, as its janitor was told."""
    lines = [Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0") for child in children]
    (line,) = [line for line in lines if any(part.endswith(b"janitor.py") for part in line)]
    return Path(line[-2].decode())


@pytest.mark.live
@pytest.mark.parametrize(
    ("script", "signal_name"), [(SCRIPT, "SIGINT"), (SCRIPT, "SIGKILL"), (SCRIPT, "SIGTERM"), (IN_A_LOOP, "SIGINT")]
)
def test_nothing_is_left_when_a_run_is_interrupted_or_killed(script, signal_name):
    parent, children = started(script)
    folder = folder_of(children)
    assert folder.exists()
    parent.send_signal(getattr(signal, signal_name))
    parent.communicate(timeout=20)
    assert wait_until(lambda: not any(map(is_running, children)), 20)
    assert wait_until(lambda: not folder.exists(), 20)


@pytest.mark.live
def test_a_server_that_dies_by_itself_ends_the_run_at_once_with_its_name():
    """And not when its ten minutes are over."""
    import os

    found = []

    def pids():
        mine = [Path(f"/proc/{pid}/cmdline") for pid in children_of(os.getpid())]
        return [int(path.parent.name) for path in mine if b"live.server" in path.read_bytes()]

    def shoot():
        wait_until(lambda: len(pids()) == 2, 30)
        time.sleep(1.5)
        os.kill(pids()[0], signal.SIGKILL)

    thread = threading.Thread(target=shoot)
    thread.start()
    try:
        run(scenario(duration=600))
    except live_error() as error:
        found.append(str(error))
    thread.join()
    assert found and "server" in found[0]


def live_error():
    from realtime_sim.errors import LiveError

    return LiveError


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"servers": {"count": 2, "workers": 2}}, "servers.workers"),
        ({"servers": {"count": 2, "egress": "1 Gbit/s"}}, "servers.egress"),
        ({"clients": [{"name": "p", "count": 4, "transport": "long_polling"}], "rooms": [], "traffic": []}, "affinity"),
        ({"servers": {"count": 100}}, "servers.count"),
        ({"duration": 7200}, "duration"),
        ({"broker": {"kind": "redis_pubsub", "shards": 2}}, "broker.shards"),
        ({"clients": [{"name": "c", "count": 40_000}], "rooms": [], "traffic": []}, "clients"),
        ({"traffic": [{"name": "t", "rate": 1, "payload": 10}]}, "traffic.t.payload"),
        ({"faults": [{"at": 1, "kind": "slow_broker", "factor": 2}]}, "slow_broker"),
    ],
)
def test_what_cannot_be_done_for_real_is_named_before_anything_starts(changes, field):
    with pytest.raises(UnsupportedFeature) as caught:
        run(scenario(**changes))
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"broker": "redsi"}, "broker must be a known broker or a URL"),
        ({"balancer": "ngnix"}, "did you mean 'nginx'"),
        ({"client_library": "aiohttp"}, "client_library must be a known client library"),
        ({"client_processes": 0}, "client_processes must be a whole number"),
        ({"slice": 1.5}, "slice must be a whole number"),
    ],
)
def test_wrong_options_are_one_clear_message(options, message):
    with pytest.raises(ScenarioError, match=message):
        run(scenario(), **options)


def test_something_else_than_a_scenario_is_refused():
    with pytest.raises(ScenarioError, match="must be a Scenario, got 'str'"):
        live.run("chat")
