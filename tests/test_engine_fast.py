"""The compiled engine gives the trace that the reference engine gives, for everything a scenario can say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_sim import Scenario, UnsupportedFeature, presets, simulate
from realtime_sim.draws import Stream, uniforms
from realtime_sim.engines import fast, reference
from realtime_sim.engines.fast import agenda
from realtime_sim.engines.fast.cluster import CompiledCluster
from realtime_sim.engines.fast.kernel import advance, drain
from realtime_sim.engines.fast.memory import Block
from realtime_sim.engines.fast.setup import make_state
from realtime_sim.engines.fast.state import State
from realtime_sim.engines.fast.steady_copies import send
from realtime_sim.engines.services import draw
from realtime_sim.recorder import Recorder
from realtime_sim.units import to_ns
from realtime_sim.workload import Publishes, Workload, draw_workload
from tests.conftest import small
from tests.strategies import scenarios

ALL = sorted((Path(__file__).parent.parent / "examples").glob("*.yaml"))
EXAMPLES = [path for path in ALL if path.stem != "million"]  # which is too large for the reference engine


def difference(scenario: Scenario, record: str) -> str:
    """The first difference between the two engines' traces, with both values; empty where there is none."""
    workload, _ = draw(scenario)
    found = reference.run(workload, record).diff(fast.run(workload, record))
    return "" if found is None else str(found)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_give_the_same_trace(path):
    assert difference(Scenario.from_yaml(path), "summary") == ""


@pytest.mark.parametrize("name", [name for name in presets.NAMES if name != "million"])
def test_presets_give_the_same_trace(name):
    """Every figure of it, histograms bin for bin; the million is too large for the reference engine."""
    assert difference(presets.load(name).replace(duration=10, warmup=2), "summary") == ""


@given(scenarios())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_drawn_scenarios_give_the_same_trace(drawn):
    """All transports, brokers, balancers, backoffs, churn, limits, heartbeats, client publishes, faults."""
    assert difference(Scenario(**drawn), "full") == ""


DROP = {"at": "1s", "kind": "drop_clients", "cohort": "c"}


@pytest.mark.parametrize("session", [None, {"length": "1s", "absence": "500ms"}], ids=["stays", "ends at that time"])
@pytest.mark.parametrize(
    "others",
    [
        [],
        [{"at": "1s", "kind": "kill_server", "server": 0}],
        [{**DROP, "at": "900ms", "notice": "silent", "share": 0.5}],
    ],
    ids=["alone", "with a server", "after another"],
)
def test_who_drops_notices_in_the_written_order_whatever_else_happens_then(session, others):
    """Clients notice without an event of their own, unless something else of that time comes between."""
    case = Scenario(
        name="ties", duration=4, warmup=0, faults=[DROP, *others],
        clients=[{"name": "c", "count": 40, "session": session, "keepalive": {"interval": "100ms", "timeout": 0.1}}],
        servers={"count": 2, "profile": "zero", "costs": {"handshake": "10ms"}},
        traffic=[{"name": "t", "rate": 10, "arrivals": "constant"}],
    )  # fmt: skip
    assert difference(case, "full") == ""


def test_a_loop_that_ends_later_at_the_same_time_takes_up_nothing_before():
    """Two loops end their sends at one time, and fan-outs that take none wait: the first loop does all of them before
    the other one's turn, so that tasks of the messages stay in their order. Seen with seed 64."""
    case = Scenario(
        name="ties", seed=64, duration=1, drain=0, warmup=0,
        clients=[{"name": "c", "count": 5, "keepalive": None}],
        servers={"count": 2, "profile": "zero", "workers": 2, "fanout": "task_per_client",
                 "costs": {"event": 0, "send": "500us"}},
        broker={"kind": "redis_pubsub", "server_link": {"mean": "3ms", "cv": 2.0}},
        rooms=[{"name": "room", "count": 3, "members": 1}, {"name": "inbox", "per_user": True}],
        traffic=[{"name": "t", "rate": 22, "payload": 0}],
    )  # fmt: skip
    assert difference(case, "full") == ""


def test_the_end_of_a_loop_is_over_when_a_job_that_takes_no_time_comes_after_it():
    """Two publishes at one time; the second's fan-out takes no time on a loop that has been idle for longer, and its
    send goes to the loop whose ingest has just ended, as the reference engine has it."""
    case = Scenario(
        name="ties",
        seed=373635203316,
        duration=3,
        drain=5,
        warmup=0,
        clients=[{"name": "c", "count": 4}],
        servers={"count": 2, "profile": "centrifugo", "workers": 2, "fanout": "task_per_client"},
        balancer={"policy": "random", "affinity": "cookie"},
        rooms=[{"name": "room", "count": 3, "members": 1}, {"name": "inbox", "per_user": True}],
        traffic=[
            {"name": "t0", "to": "room", "from": "clients", "rate": 1, "arrivals": "constant", "payload": 100},
            {"name": "t1", "from": "clients", "rate": 1, "arrivals": "constant", "payload": 100, "echo": False},
        ],
    )
    assert difference(case, "full") == ""


def test_a_copy_that_comes_again_while_the_last_one_is_still_sent_keeps_its_recipients_waiting():
    """A redelivery moves the end of a message's last copy; who waits for it is not given up at the end of the first.

    Seen where clients move from server to server while Kafka's readers start over."""
    case = Scenario(
        name="fz", seed=2757900387446916613, duration=3,
        clients=[{"name": "c0", "count": 43, "transport": "long_polling", "ramp_up": 0,
                  "network": {"rtt": {"median": "40ms", "p99": "200ms"}}}],
        servers={"startup": 0, "connection_age": {"low": "300ms", "high": "900ms"}},
        broker={"kind": "kafka", "server_link": "50ms", "rebalance_delay": 0},
        traffic=[{"name": "t0", "rate": 99, "from": "c0"}],
        autoscaling={"max_replicas": 12, "sync_period": 0.3, "metrics": [{"name": "connections", "target": 1}],
                     "scale_up": {"stabilization": 0.5, "select": "min",
                                  "policies": [{"kind": "pods", "value": 50, "period": 0.5}]}},
        faults=[{"at": 1, "kind": "stop_broker", "lasts": 0.001}],
    )  # fmt: skip
    assert difference(case, "summary") == ""


def test_any_number_of_disturbances_may_cut_nobody_off():
    """An autoscaler that takes 39 empty servers away: each drain is a disturbance, and 39 of 40 have no clients."""
    case = Scenario(
        name="many", duration=15.05, warmup=0, clients=[{"name": "c", "count": 1, "network": {"rtt": 0}}],
        servers={"count": 40, "profile": "zero", "grace": 30}, broker={"kind": "redis_pubsub"},
        autoscaling={"max_replicas": 40, "metrics": [{"name": "connections", "target": 100}],
                     "scale_down": {"stabilization": 0, "policies": [{"kind": "percent", "value": 100, "period": 15}]}},
    )  # fmt: skip
    assert difference(case, "full") == ""


def late(workload: Workload, shares: np.ndarray) -> Workload:
    """The workload with each message published after the time it was intended for, the last ones in the drain."""
    scenario, publishes = workload.scenario, workload.publishes
    room_ns = to_ns(scenario.duration + scenario.drain) - publishes.time_ns
    time_ns = publishes.time_ns + (shares * room_ns).astype(np.int64)
    order = np.argsort(time_ns, kind="stable")
    columns = {name: getattr(publishes, name)[order] for name in ("traffic", "number", "room", "sender")}
    moved = Publishes(time_ns[order], **columns, intended_ns=publishes.time_ns[order])
    return dataclasses.replace(workload, publishes=moved)


@given(scenarios(), st.sampled_from([0.001, 0.1, 1.0]))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_messages_that_are_published_late_give_the_same_trace(drawn, most):
    """As services publish them: latency counts from before, and some come after the end of the run."""
    workload = draw_workload(Scenario(**drawn))
    shares = uniforms(workload.scenario.seed, Stream.ARRIVAL, 99, 0, len(workload.publishes)) * most
    workload = late(workload, shares)
    first, second = reference.run(workload, "full"), fast.run(workload, "full")
    assert first.diff(second) is None


@given(scenarios(), st.sampled_from(["bus", "direct"]), st.sampled_from([None, 0.3]))
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_services_push_gives_the_same_trace(drawn, coupling, every):
    """Two of them: one that fails at times, and one that stands still, catches up and reports at intervals."""
    services = [
        {"name": "mail", "consumes": "order", "service": {"mean": "30ms"}, "p_failure": 0.3, "retries": 1},
        {"name": "numbers", "consumes": "order", "service": "40ms"},
    ]
    traffic = [
        {"name": "mails", "to": "inbox", "from": "mail"},
        {"name": "board", "from": "numbers", "every": every, "payload": 3_000},
    ]
    fault = {"at": "500ms", "kind": "stop_service", "service": "numbers", "lasts": "1s"}
    drawn |= {
        "events": [{"name": "order", "rate": 20}], "pipeline": {"coupling": coupling, "timeout": "300ms"},
        "services": services, "traffic": drawn["traffic"] + traffic, "faults": [*drawn["faults"], fault],
    }  # fmt: skip
    assert difference(Scenario(**drawn), "full") == ""


@pytest.mark.parametrize("engine", [reference, fast])
def test_what_is_published_after_the_end_is_delivered_within_the_drain_and_counts_from_its_intended_time(engine):
    case = small(drain=20, traffic=[{"name": "t", "rate": 1, "arrivals": "constant"}])
    workload = draw_workload(case)
    n = len(workload.publishes)
    trace = engine.run(late(workload, np.full(n, 0.75)), "full")
    assert trace.deliveries["delivered"].sum() == trace.deliveries["expected"].sum() == n * case.n_clients
    assert np.unique(trace.rows["published_ns"]).tolist() == [i * 10**9 for i in range(n)]
    waited_ns = trace.rows["at_broker_ns"] - trace.rows["published_ns"]
    assert waited_ns.min() >= 15.75e9 and trace.rows["received_ns"].min() > to_ns(case.duration)


@given(scenarios(breaks_the_broker=True))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_brokers_that_break_give_the_same_trace(drawn):
    """Partitions, stops and slowness alone, with long ways, so that much is under way when they strike."""
    assert difference(Scenario(**drawn), "full") == ""


def test_results_do_not_depend_on_the_engine():
    case = small(duration=5)
    figures = [simulate(case, engine=name).to_plain() for name in ("reference", "fast")]
    assert [plain.pop("engine") for plain in figures] == ["reference", "fast"]
    assert figures[0] == figures[1]


def test_a_million_connections_are_no_matter():
    """All drop at once and come back with full jitter; every one of them is back before the end."""
    case = Scenario(
        name="storm", duration=90, warmup=0, traffic=[],
        clients=[{"name": "c", "count": 1_000_000, "network": {"rtt": "50ms"}, "keepalive": None,
                  "reconnect": {"policy": "full_jitter", "base": "1s", "cap": "30s"}}],
        servers={"count": 20, "profile": "zero", "costs": {"handshake": "1ms"}},
        faults=[{"at": "1s", "kind": "drop_clients", "cohort": "c"}],
    )  # fmt: skip
    results = simulate(case)
    assert results.engine == "fast"
    assert results.trace.affected == (1_000_000,)
    assert len(results.trace.recovery[0]) == 1_000_000
    assert results.connections["attempts"] >= 1_000_000


# The agenda.


EVENTS = st.tuples(
    st.one_of(st.integers(0, 2_000), st.integers(0, 50_000_000), st.integers(0, 10**12)),
    st.integers(0, 19), st.integers(-1, 3), st.integers(-1, 3), st.integers(-1, 2),
)  # fmt: skip


@given(st.lists(st.tuples(EVENTS, st.booleans()), max_size=300))
@settings(max_examples=100, deadline=None)
def test_events_come_in_the_written_order_whenever_they_were_inserted(steps):
    """Insertions between removals, at any time that is not past: times repeat, are near, or hours ahead."""
    workload = draw_workload(small())
    state = make_state(workload, Recorder(workload, "summary"))
    waiting, now = [], 0
    for number, ((delay, phase, server, client, message), removes) in enumerate(steps):
        key = int(agenda.key_of(phase, server, client))
        agenda.insert(state, now + delay, key, message, number, 0)
        waiting.append((now + delay, key, message, number))
        if removes:
            waiting.sort()
            assert agenda.peek(state) == waiting[0][0]
            now, *expected = waiting.pop(0)
            assert list(agenda.pop(state))[:3] == expected
    for time, key, message, ref in sorted(waiting):
        assert agenda.peek(state) == time
        assert agenda.pop(state)[:3] == (key, message, ref)
    assert agenda.peek(state) == -1


@given(*[st.tuples(st.integers(0, 19), st.integers(-1, 2**20 - 2), st.integers(-1, 2**31)) for _ in range(2)])
def test_keys_order_by_phase_then_server_then_client(a, b):
    assert (agenda.key_of(*a) < agenda.key_of(*b)) == (a < b)


def test_many_events_at_one_time_come_in_order():
    """100,000 at once, as when all clients drop: more than the heap beside the sorted run is meant for."""
    workload = draw_workload(small())
    state = make_state(workload, Recorder(workload, "summary"))
    agenda.insert(state, 5, 0, 0, -1, 0)
    assert agenda.peek(state) == 5
    clients = np.random.default_rng(1).permutation(100_000).tolist()
    for client in clients:
        agenda.insert(state, 7, agenda.key_of(4, 0, client), -1, client, 0)
    agenda.pop(state)
    order = []
    while agenda.peek(state) == 7:
        order.append(agenda.pop(state)[2])
    assert order == sorted(clients)


# The memory of a run.


def test_a_state_takes_the_fields_it_declares_and_no_others():
    with pytest.raises(TypeError, match="fields differ from those declared: .*'seed'"):
        State()
    assert issubclass(State, Block)


def test_years_without_an_event_pass_at_once():
    """A user is away for a billion seconds: 60 thousand million buckets of 17 ms lie between, and are not walked."""
    workload = draw_workload(small())
    state = make_state(workload, Recorder(workload, "summary"))
    for time in (10**18, 10**18 + 1, 2 * 10**18):
        agenda.insert(state, time, 0, -1, 0, 0)
    times = []
    while (time := agenda.peek(state)) >= 0:
        agenda.pop(state)
        times.append(time)
    assert times == [10**18, 10**18 + 1, 2 * 10**18]


def test_a_table_of_gigabytes_is_refused():
    case = small(clients=[{"name": "c", "count": 1_000_000}], servers={"count": 9_000}, traffic=[])
    with pytest.raises(UnsupportedFeature, match=r"servers.count \(more than 8_000 of them with 1_000_000 clients"):
        simulate(case, engine="fast")


def test_a_run_can_be_given_up_between_two_samples():
    """Two thousand clients that come and go each second, and one sample at the end: millions of events."""
    busy = Scenario(
        name="busy",
        duration=250,
        sample_interval=250,
        clients=[{"name": "phones", "count": 2_000, "session": {"mean": "1s"}}],
    )
    workload = draw_workload(busy)
    told = []
    CompiledCluster(workload, Recorder(workload, "summary")).run(told.append)
    assert told.count(0.0) > 1 and told[-1] == 250.0  # at the first sample, and on the way to the last


def test_other_threads_go_on_while_compiled_code_runs():
    """Otherwise nobody hears a slider or Cancel: a call may take seconds."""
    assert all(function.targetoptions["nogil"] for function in (advance, drain, send))
