"""Balancing sends every connection to a healthy server by the rule its name says, ties to the lowest index."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sim.policies import balancing
from realtime_sim.policies.balancing import (
    ConsistentHash,
    LeastConnections,
    PowerOfTwo,
    Random,
    RoundRobin,
    SourceHash,
    choose,
    pick,
    pick_affine,
    splitmix64,
)

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
DRAWS = st.floats(0, 1, exclude_max=True)
POLICIES = [cls() for cls in balancing.REGISTRY.values()]

clusters = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 20), min_size=n, max_size=n), st.lists(st.booleans(), min_size=n, max_size=n)
    )
)


def splitmix64_in_plain_integers(x):
    z = (x + GOLDEN) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def owners(policy, healthy, n_clients=4_000):
    """The server of each client under a hash."""
    load = np.zeros(len(healthy), dtype=np.int64)
    up = np.array(healthy)
    return np.array([pick(policy.code, load, up, 0.0, 0.0, client, 0)[0] for client in range(n_clients)])


# Known values.


def test_splitmix64_gives_the_published_sequence():
    """The first five numbers of Vigna's splitmix64.c from the seed 1234567."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [int(splitmix64(np.uint64((1234567 + step * GOLDEN) & MASK))) for step in range(5)] == published


def test_round_robin_takes_turns_and_passes_over_a_server_that_is_down():
    state, taken = 0, []
    for _ in range(7):
        state, server, reason = choose(RoundRobin(), [0, 0, 0, 0], [True, True, False, True], state=state)
        taken.append(server)
    assert taken == [0, 1, 3, 0, 1, 3, 0]
    assert reason == "next in turn"


@pytest.mark.parametrize(
    ("load", "healthy", "server"),
    [
        ([5, 3, 4], [True, True, True], 1),
        ([5, 3, 3], [True, True, True], 1),
        ([0, 3, 2], [False, True, True], 2),
        ([0, 0, 0], [True, True, True], 0),
    ],
)
def test_least_connections_takes_the_emptiest_healthy_server(load, healthy, server):
    assert choose(LeastConnections(), load, healthy)[1] == server


@pytest.mark.parametrize(("u", "server"), [(0.0, 0), (0.33, 0), (0.34, 2), (0.66, 2), (0.67, 3), (1 - 2**-53, 3)])
def test_random_gives_every_healthy_server_an_equal_part_of_the_draw(u, server):
    assert choose(Random(), [9, 0, 0, 0], [True, False, True, True], u=(u, 0.0))[1] == server


@pytest.mark.parametrize(
    ("u", "server"),
    [((0.0, 0.0), 1), ((0.0, 0.5), 2), ((0.0, 0.9), 0), ((0.3, 0.0), 1), ((0.5, 0.9), 2), ((0.9, 0.0), 0)],
)
def test_power_of_two_compares_two_different_servers(u, server):
    """Loads 5, 1, 2, 5: the pairs are (0,1), (0,2), (0,3), (1,0), (2,3), (3,0); equal loads go to the lowest index."""
    assert choose(PowerOfTwo(), [5, 1, 2, 5], [True] * 4, u=u)[1] == server


def test_a_new_server_gets_every_connection_of_least_connections_until_it_is_level():
    load = np.array([4, 4, 0])
    taken = []
    for _ in range(6):
        server, _ = pick(LeastConnections.code, load, np.ones(3, dtype=np.bool_), 0.0, 0.0, 0, 0)
        load[server] += 1
        taken.append(int(server))
    assert taken == [2, 2, 2, 2, 0, 1]


# Properties.


@settings(deadline=None, max_examples=150)
@given(clusters, DRAWS, DRAWS, st.integers(0, 2**62), st.integers(0, 100), st.sampled_from(POLICIES))
def test_the_server_is_healthy_or_there_is_none(cluster, u1, u2, source, counter, policy):
    load, healthy = cluster
    state, server, reason = choose(policy, load, healthy, (u1, u2), source, counter)
    if any(healthy):
        assert healthy[server]
    else:
        assert (state, server, reason) == (counter, -1, "no healthy server")
    if not isinstance(policy, RoundRobin):
        assert state == counter


@settings(deadline=None, max_examples=100)
@given(clusters, DRAWS, DRAWS)
def test_power_of_two_never_takes_the_most_loaded_of_three_or_more(cluster, u1, u2):
    load = [2 * n + i for i, n in enumerate(cluster[0])]
    load[0] = 1_000
    server = choose(PowerOfTwo(), load, [True] * len(load), (u1, u2))[1]
    assert server != 0 or len(load) == 1


@settings(deadline=None, max_examples=100)
@given(clusters, st.integers(0, 2**62), st.integers(-1, 12), st.sampled_from(POLICIES))
def test_a_cookie_wins_while_its_server_is_healthy(cluster, source, previous, policy):
    load, healthy = cluster
    _, server, reason = choose(policy, load, healthy, (0.3, 0.6), source, 1, previous)
    if 0 <= previous < len(healthy) and healthy[previous]:
        assert (server, reason) == (previous, "cookie")
    else:
        assert server == choose(policy, load, healthy, (0.3, 0.6), source, 1)[1]


@pytest.mark.parametrize("gone", range(5))
def test_consistent_hash_moves_only_the_clients_of_the_lost_server(gone):
    before = owners(ConsistentHash(), [True] * 5)
    after = owners(ConsistentHash(), [server != gone for server in range(5)])
    assert np.array_equal(before != after, before == gone)


def test_the_modulo_moves_four_clients_in_five_when_one_of_five_servers_goes():
    """With 5 and then 4 servers, a client stays if its hash agrees modulo 5 and 4: 4 of 20 residues.

    The last server goes, so that the others keep their place. Binomial, n = 4,000, p = 0.8: the interval of five
    standard deviations, 0.032, fails with probability below 1e-6 over all hash functions.
    """
    before, after = owners(SourceHash(), [True] * 5), owners(SourceHash(), [True] * 4 + [False])
    assert 0.768 <= np.mean(before != after) <= 0.832


@pytest.mark.parametrize("policy", [SourceHash(), ConsistentHash()])
def test_hashes_spread_clients_evenly(policy):
    """Binomial, n = 4,000, p = 1/5: 800 give or take five standard deviations, 127; error below 1e-5."""
    counts = np.bincount(owners(policy, [True] * 5), minlength=5)
    assert counts.min() >= 673 and counts.max() <= 927


def test_power_of_two_levels_better_than_random():
    """10,000 balls in 100 bins: the largest excess is about sqrt(2 * 100 * ln 100), 30, by chance; a few with two."""
    grid = np.array([splitmix64_in_plain_integers(i) / 2**64 for i in range(20_000)]).reshape(-1, 2)
    healthy = np.ones(100, dtype=np.bool_)
    largest = {}
    for policy in (Random(), PowerOfTwo()):
        load = np.zeros(100, dtype=np.int64)
        for u1, u2 in grid:
            load[pick(policy.code, load, healthy, u1, u2, 0, 0)[0]] += 1
        largest[type(policy)] = load.max() - 100
    assert largest[PowerOfTwo] <= 5 < 15 <= largest[Random]


# Agreement.


@settings(deadline=None, max_examples=100)
@given(st.integers(0, MASK))
def test_splitmix64_agrees_with_plain_integers(x):
    assert int(splitmix64(np.uint64(x))) == splitmix64_in_plain_integers(x)


@settings(deadline=None, max_examples=100)
@given(clusters, st.integers(0, 2**63 - 1))
def test_hashes_agree_with_plain_integers(cluster, source):
    load, healthy = cluster
    up = [server for server, well in enumerate(healthy) if well]
    if up:
        key = splitmix64_in_plain_integers(source)
        weights = {server: splitmix64_in_plain_integers((key + server) & MASK) for server in up}
        assert choose(ConsistentHash(), load, healthy, source=source)[1] == max(up, key=weights.get)
        assert choose(SourceHash(), load, healthy, source=source)[1] == up[key % len(up)]


def test_the_compiled_function_and_the_readable_one_agree():
    load, healthy = np.array([2, 0, 7, 0]), np.array([True, False, True, True])
    for policy in POLICIES:
        for source in range(20):
            u = (source / 20, 1 - (source + 1) / 20)
            one = pick_affine(policy.code, load, healthy, *u, source, 3, -1)
            state, server, _ = choose(policy, load, healthy, u, source, 3)
            assert one == (server, state)


# Errors.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"load": [1, 2, 3]}, "load and healthy must be rows of one length, got shapes (3,) and (2,)"),
        ({"load": [1, -2]}, "load must be whole and at least 0, got -2"),
        ({"u": (0.0, 1.0)}, "u must lie on [0, 1), got 1.0"),
        ({"source": -1}, "source must be a whole number of at least 0, got -1"),
        ({"state": 0.5}, "state must be a whole number of at least 0, got 0.5"),
    ],
)
def test_a_wrong_value_is_named_and_shown(change, message):
    arguments = {"load": [1, 2], "healthy": [True, True], **change}
    with pytest.raises(ValueError) as caught:
        choose(RoundRobin(), **arguments)
    assert str(caught.value) == message


def test_an_unknown_code_is_refused():
    with pytest.raises(ValueError, match="no balancing rule has this code"):
        pick(99, np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.bool_), 0.0, 0.0, 0, 0)
