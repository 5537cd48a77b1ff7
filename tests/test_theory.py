"""Theory gives the published figures, obeys the laws that tie them together, and names the argument that is wrong."""

import dataclasses
import math
from decimal import Decimal, localcontext

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from realtime_sim import theory
from realtime_sim.errors import ScenarioError

RATES = st.floats(1e-3, 1e6)
UTILIZATIONS = st.floats(0.0, 0.999)
SERVICES_S = st.floats(1e-6, 1e3)
CVS = st.floats(0.0, 10.0)
PROBABILITIES = st.floats(0.001, 0.999)


# --- known values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("utilization", "mm1_wait", "md1_wait", "p99_sojourn"),
    [(0.5, 1, 0.5, 9.210), (0.8, 4, 2, 23.026), (0.9, 9, 4.5, 46.052), (0.95, 19, 9.5, 92.103)],
)
def test_single_server_waits_are_kleinrocks(utilization, mm1_wait, md1_wait, p99_sojourn):
    """Kleinrock (1975), with a mean service of 1: rho/(1-rho), half of it, and -log(0.01)/(1-rho)."""
    assert theory.mm1(utilization, 1.0).mean_wait_s == pytest.approx(mm1_wait, rel=1e-12)
    assert theory.md1(utilization, 1.0).mean_wait_s == pytest.approx(md1_wait, rel=1e-12)
    assert theory.mm1_sojourn_quantile_s(utilization, 1.0, 0.99) == pytest.approx(p99_sojourn, abs=5.1e-4)


@pytest.mark.parametrize(("squared_cv", "wait"), [(0, 2), (1, 4), (4, 10)])
def test_pollaczek_khinchine_takes_the_coefficient_and_not_its_square(squared_cv, wait):
    """Kleinrock (1975), utilization 0.8."""
    assert theory.mg1(0.8, 1.0, cv=math.sqrt(squared_cv)).mean_wait_s == pytest.approx(wait, rel=1e-12)


@pytest.mark.parametrize(
    ("servers", "utilization", "p_wait", "wait"),
    [
        (2, 0.8, 0.711111, 1.777778),
        (4, 0.8, 0.596432, 0.745541),
        (10, 0.8, 0.409180, 0.204590),
        (10, 0.9, 0.668732, 0.668732),
        (50, 0.9, 0.363864, 0.072773),
        (100, 0.95, 0.506457, 0.101291),
    ],
)
def test_many_servers_match_erlang_c(servers, utilization, p_wait, wait):
    """Gross et al., summed term by term in 60-digit arithmetic."""
    assert theory.erlang_c(servers, servers * utilization) == pytest.approx(p_wait, abs=5.1e-7)
    assert theory.mmc(servers * utilization, 1.0, servers).mean_wait_s == pytest.approx(wait, abs=5.1e-7)


@pytest.mark.parametrize(
    ("servers", "load"), [(1, "0.3"), (7, "6.9"), (300, "299"), (10_000, "9900"), (10_000, "9999")]
)
def test_erlang_c_keeps_its_digits_up_to_ten_thousand_servers(servers, load):
    """The textbook sum, whose terms overflow a float, done with 50 digits."""
    with localcontext() as context:
        context.prec = 50
        load_exact, term, total = Decimal(load), Decimal(1), Decimal(0)
        for k in range(servers):
            total += term
            term = term * load_exact / (k + 1)
        waiting = term * servers / (servers - load_exact)
        expected = float(waiting / (total + waiting))
    assert theory.erlang_c(servers, float(load)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("batch_cv", "wait"), [(0.0, 26.5), (math.sqrt(0.9), 49.0)], ids=["fixed", "geometric"])
def test_batches_of_ten_wait_as_in_the_line_solver(batch_cv, wait):
    """LINE `qsys_mxm1`, utilization 0.8, mean batch 10."""
    assert theory.mxm1(0.08, 1.0, 10, batch_cv).mean_wait_s == pytest.approx(wait, rel=1e-12)


def test_fanout_to_a_thousand_members_takes_25_ms():
    """80 publishes a second, 10 us a send: 20 ms of wait, 5.005 ms inside the batch, 10 ms for the whole job."""
    figures = theory.fanout_md1(publish_rate_per_s=80, n_members=1000, send_s=10e-6)
    assert dataclasses.astuple(figures) == pytest.approx((0.8, 0.020, 0.005005, 0.025005, 0.030, 2000.4), rel=1e-12)


def test_decoding_once_for_each_publish_delays_every_copy():
    """Job 0.1 + 4 * 0.1 = 0.5 s at 1/s: wait 0.5 * 0.5 / (2 * 0.5) = 0.25 s, in the batch 0.1 + 0.1 * 2.5 s."""
    figures = theory.fanout_md1(publish_rate_per_s=1, n_members=4, send_s=0.1, decode_s=0.1)
    assert dataclasses.astuple(figures) == pytest.approx((0.5, 0.25, 0.35, 0.60, 0.75, 2.4), rel=1e-12)


@pytest.mark.parametrize(("n", "mean"), [(1, 1), (2, 1.5), (10, 2.929), (100, 5.187), (1000, 7.4855), (10000, 9.788)])
def test_the_longest_of_n_exponentials_is_a_harmonic_number(n, mean):
    """Harmonic numbers."""
    assert theory.max_of_exponentials(n) == pytest.approx(mean, abs=5.1e-4)
    assert theory.max_of_exponentials(n, mean_s=2.0) == pytest.approx(2 * math.fsum(1 / k for k in range(1, n + 1)))


@pytest.mark.parametrize(("p", "time"), [(0.5, 4.975), (0.99, 9.205)])
def test_quantiles_of_the_longest_of_a_hundred(p, time):
    """-log(1 - p^(1/100)), David and Nagaraja."""
    assert theory.max_of_exponentials_quantile_s(100, p) == pytest.approx(time, abs=5.1e-4)


def test_a_room_of_a_thousand_within_a_bound_asks_five_nines_of_one_copy():
    assert theory.max_of_n_quantile(0.99, 1000) == pytest.approx(0.99 ** (1 / 1000), rel=1e-14)
    assert theory.max_of_n_quantile(0.99, 1) == pytest.approx(0.99, rel=1e-15)


@pytest.mark.parametrize(("send_s", "total_s"), [(30e-6, 0.9), (70e-6, 2.1)])
def test_discords_guild_of_30000_takes_its_published_time(send_s, total_s):
    """Discord (2017): 30 to 70 us a send, 900 ms to 2.1 s a publish."""
    assert theory.serial_fanout_s(30_000, send_s) == pytest.approx(total_s, rel=1e-12)


def test_the_gateway_quota_follows_from_littles_law():
    """AWS API Gateway: 500 connections a second, two hours each, 3,600,000 at a time."""
    assert theory.little(500, 7200) == 3_600_000


@pytest.mark.parametrize(
    ("outage_s", "rate", "capacity", "time_s"),
    [(30, 50, 100, 30), (10, 10, 20, 10), (60, 90, 100, 540), (30, 0, 100, 0), (0, 50, 100, 0), (1, 5, 5, math.inf)],
)
def test_a_backlog_is_worked_off_with_what_is_to_spare(outage_s, rate, capacity, time_s):
    """T lam pile up, mu - lam are worked off in a second."""
    assert theory.catch_up_s(outage_s, rate, capacity) == pytest.approx(time_s)


def test_a_backlog_needs_a_capacity():
    with pytest.raises(ScenarioError, match="capacity_per_s must be positive, got 0"):
        theory.catch_up_s(1, 1, 0)


@pytest.mark.parametrize(("rate", "extra_ms"), [(0.5, 2.5), (5, 22.6), (50, 49.9)])
def test_long_polling_adds_its_gap(rate, extra_ms):
    """RFC 6202: three transits at most; the mean was checked against a simulation elsewhere."""
    delay = theory.long_poll_delay_s(one_way_s=0.05, message_rate_per_s=rate)
    assert (delay.mean_s - 0.05) * 1e3 == pytest.approx(extra_ms, abs=0.051)
    assert delay.max_s == pytest.approx(0.15, rel=1e-15)


@pytest.mark.parametrize(("rate", "gap_s", "per_s"), [(10, 0.05, 9.037), (50, 0.05, 19.364), (10, 0.1, 7.311)])
def test_a_poll_that_finds_messages_is_answered_at_once(rate, gap_s, per_s):
    """By hand: 1 / (0.05 + exp(-0.5) / 10), and so on; without messages one answer in 30 s."""
    answers = theory.long_poll_answers_per_s(rate, gap_s, hold_s=30.0)
    assert answers.per_s == pytest.approx(per_s, rel=2e-4)
    assert theory.long_poll_answers_per_s(0.0, gap_s, hold_s=30 - gap_s).empty_per_s == pytest.approx(1 / 30, rel=1e-12)


@given(RATES, st.floats(0, 0.999), st.floats(0, 10))
def test_wakeups_of_one_server_are_welchs(rate, load, wakeup_s):
    """Welch (1964): the busy share of M/G/1 with an exceptional first service, from its probability of being idle."""
    service_s = max(load, 1e-6) / rate
    welch = theory.mg1_exceptional_first(rate, service_s, 1.0, service_s + wakeup_s, 1.0).utilization
    assert theory.utilization_with_wakeups(1, rate * service_s, rate, wakeup_s) == pytest.approx(welch, rel=1e-9)


@given(st.integers(1, 64), UTILIZATIONS, RATES, st.floats(0, 1))
def test_wakeups_never_fill_servers_that_had_time_left(servers, utilization, rate, wakeup_s):
    busy = theory.utilization_with_wakeups(servers, utilization * servers, rate, wakeup_s)
    assert utilization * (1 - 1e-9) <= busy <= 1
    idle_ratio = 1 - theory.erlang_c(servers, min(busy * servers, servers))
    waking = rate * wakeup_s
    assert busy * servers == pytest.approx(utilization * servers + waking * idle_ratio, abs=1e-6 * (1 + waking))


@pytest.mark.parametrize(
    ("window_bits", "mem_level", "kib"),
    [(15, 8, 316), (14, 7, 172), (13, 6, 100), (12, 5, 64), (11, 4, 46), (10, 3, 37), (9, 2, 33), (None, None, 14)],
)
def test_compression_memory_is_the_table_of_websockets(window_bits, mem_level, kib):
    """websockets documentation, topic Compression; the table is rounded up to whole KiB."""
    assert math.ceil(theory.websockets_memory_bytes(window_bits, mem_level) / 1024) == kib


@pytest.mark.parametrize(
    ("n_servers", "n_members", "copies"), [(20, 10, 8.03), (1, 5, 1), (7, 0, 0), (7, 1, 1), (2, 2, 1.5)]
)
def test_members_placed_at_random_reach_so_many_servers(n_servers, n_members, copies):
    """n (1 - (1 - 1/n)^m), by hand."""
    assert theory.node_copies(n_servers, n_members) == pytest.approx(copies, abs=0.0051)


@pytest.mark.parametrize(("mib_per_s", "cut_s"), [(10, 3.2), (0.5, 64), (0.4, 80), (0.2, 100)])
def test_redis_cuts_a_stalled_subscriber(mib_per_s, cut_s):
    """`client-output-buffer-limit pubsub 32mb 8mb 60`: min(32/r, 8/r + 60)."""
    assert theory.pubsub_cut_after_s(mib_per_s * 2**20) == pytest.approx(cut_s, rel=1e-12)


def test_a_limit_of_zero_is_no_limit_for_redis():
    assert theory.pubsub_cut_after_s(1e6, hard_bytes=0) == pytest.approx(8 * 2**20 / 1e6 + 60)
    assert theory.pubsub_cut_after_s(1e6, soft_bytes=0) == pytest.approx(32 * 2**20 / 1e6)
    assert theory.pubsub_cut_after_s(1e6, hard_bytes=0, soft_bytes=0) == math.inf
    assert theory.pubsub_cut_after_s(0) == math.inf


def test_two_pods_added_to_four_are_level_after_243_seconds():
    """600 s log(1.5) = 243.28 s; adding none takes no time."""
    assert theory.level_time_s(600, 4, 2) == pytest.approx(243.28, abs=0.005)
    assert theory.level_time_s(600, 4, 0) == 0


# --- laws -----------------------------------------------------------------------------------------------------------


def all_figures(rate, service_s, cv):
    """Customers' arrival rate and figures, for every function that returns `QueueFigures`."""
    yield rate, theory.mm1(rate, service_s)
    yield rate, theory.md1(rate, service_s)
    yield rate, theory.mg1(rate, service_s, cv)
    yield rate, theory.mmc(rate, service_s, 1)
    yield 3 * rate, theory.mmc(3 * rate, service_s, 3)
    yield rate, theory.mg1_exceptional_first(rate, service_s, cv, 2 * service_s, cv)
    yield rate, theory.mxm1(rate / 4, service_s, 4, cv)


@given(UTILIZATIONS, SERVICES_S, CVS)
def test_littles_law_holds_in_all_figures(utilization, service_s, cv):
    for rate, figures in all_figures(utilization / service_s, service_s, cv):
        assert figures.mean_queue_length == pytest.approx(theory.little(rate, figures.mean_wait_s), rel=1e-12)
        assert figures.mean_in_system == pytest.approx(theory.little(rate, figures.mean_sojourn_s), rel=1e-12)
        assert 0 <= figures.mean_wait_s <= figures.mean_sojourn_s


@given(UTILIZATIONS, UTILIZATIONS, SERVICES_S, CVS)
def test_more_arrivals_never_wait_less(one, other, service_s, cv):
    low, high = sorted((one, other))
    calm, busy = (all_figures(utilization / service_s, service_s, cv) for utilization in (low, high))
    for (_, before), (_, after) in zip(calm, busy, strict=True):
        assert before.mean_wait_s <= after.mean_wait_s * (1 + 1e-12)


@given(UTILIZATIONS, UTILIZATIONS, SERVICES_S, PROBABILITIES)
def test_quantiles_grow_with_load_and_probability(one, other, service_s, p):
    low, high = sorted((one, other))
    for quantile in (theory.mm1_wait_quantile_s, theory.mm1_sojourn_quantile_s, theory.md1_wait_quantile_s):
        assert quantile(low / service_s, service_s, p) <= quantile(high / service_s, service_s, p) * (1 + 1e-9)
        assert quantile(low / service_s, service_s, p / 2) <= quantile(low / service_s, service_s, p) * (1 + 1e-9)


@given(st.floats(0.01, 0.999), st.floats(0.0, 60.0))
def test_constant_service_waits_less_often_than_exponential(utilization, t_s):
    """Both tails start at rho; the constant one must then fall faster, being half as large in the mean."""
    assert theory.md1_wait_tail(utilization, 1.0, t_s) <= utilization * math.exp(-(1 - utilization) * t_s) * (1 + 1e-9)


@given(st.floats(0.01, 0.999), PROBABILITIES)
def test_quantile_inverts_the_cdf_of_constant_service(utilization, p):
    t_s = theory.md1_wait_quantile_s(utilization, 1.0, p)
    assert theory.md1_wait_cdf(utilization, 1.0, t_s) >= p - 1e-12
    if t_s > 0:
        assert theory.md1_wait_cdf(utilization, 1.0, t_s) == pytest.approx(p, abs=1e-9)
    else:
        assert p <= 1 - utilization + 1e-12


@given(st.integers(1, 100), st.floats(0, 150))
def test_erlang_c_lies_between_independent_servers_and_a_single_one(servers, load):
    """All servers are busy together more often than by chance, and less often than any one of them."""
    assume(load < servers)
    utilization = load / servers
    assert utilization**servers * (1 - 1e-9) <= theory.erlang_c(servers, load) <= utilization * (1 + 1e-9)


@given(st.integers(1, 10_000), st.integers(0, 10_000))
def test_copies_are_bounded_by_servers_and_members(n_servers, n_members):
    copies = theory.node_copies(n_servers, n_members)
    assert min(n_members, 1) * (1 - 1e-12) <= copies <= min(n_servers, n_members) * (1 + 1e-12)


@given(st.floats(0, 10), RATES)
def test_long_polling_stays_between_one_transit_and_two_on_average(one_way_s, rate):
    delay = theory.long_poll_delay_s(one_way_s, rate)
    assert one_way_s <= delay.mean_s <= 2 * one_way_s <= delay.max_s


@given(RATES, st.floats(0, 10), st.floats(1, 100))
def test_polls_are_no_more_than_messages_and_empty_answers(rate, gap_s, hold_s):
    answers = theory.long_poll_answers_per_s(rate, gap_s, hold_s)
    assert 0 <= answers.empty_per_s <= answers.per_s
    assert answers.per_s - answers.empty_per_s <= rate * (1 + 1e-9)
    assert answers.per_s * gap_s <= 1 + 1e-9


@given(st.integers(1, 10**6), PROBABILITIES)
def test_the_slowest_of_n_is_the_single_copy_at_a_higher_quantile(n, p):
    """The quantile of an exponential at `max_of_n_quantile` is the quantile of the maximum."""
    single = -math.log1p(-theory.max_of_n_quantile(p, n))
    assert theory.max_of_exponentials_quantile_s(n, p) == pytest.approx(single, rel=1e-8)


# --- overload and errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("utilization", [1.0, 1.5])
def test_an_overloaded_queue_waits_for_ever_and_is_no_error(utilization):
    for _, figures in all_figures(utilization, 1.0, 0.5):
        assert figures.utilization == pytest.approx(utilization)
        assert set(dataclasses.astuple(figures)[1:]) == {math.inf}
    assert theory.mm1_wait_quantile_s(utilization, 1.0, 0.5) == math.inf
    assert theory.mm1_sojourn_quantile_s(utilization, 1.0, 0.5) == math.inf
    assert theory.mmc_wait_quantile_s(2 * utilization, 1.0, 2, 0.5) == math.inf
    assert theory.md1_wait_quantile_s(utilization, 1.0, 0.5) == math.inf
    assert theory.md1_wait_cdf(utilization, 1.0, 1e9) == 0
    assert theory.erlang_c(3, 3 * utilization) == 1
    fanout = theory.fanout_md1(utilization, 2, 0.5)
    assert (fanout.mean_in_batch_s, fanout.mean_delay_s, fanout.mean_copies_in_system) == (0.75, math.inf, math.inf)
    assert theory.fanout_md1_delay_quantile_s(utilization, 2, 0.5, 0.5) == math.inf
    assert theory.fanout_md1_delay_cdf(utilization, 2, 0.5, 1e9) == 0


def test_without_arrivals_nobody_waits():
    for rate, figures in all_figures(0.0, 2.0, 0.0):
        assert rate == figures.utilization == figures.mean_in_system == 0
    assert theory.md1_wait_tail(0.0, 1.0, 0.0) == 0
    assert theory.md1_wait_quantile_s(0.0, 1.0, 0.99) == theory.mm1_wait_quantile_s(0.0, 1.0, 0.99) == 0
    assert theory.fanout_md1_delay_quantile_s(0.0, 4, 0.25, 0.5) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.mm1(-1.0, 1.0), "arrival_rate_per_s must be at least 0, got -1.0; "),
        (lambda: theory.mm1(1.0, 0), "service_s must be positive, got 0; "),
        (lambda: theory.mm1("1/s", 1.0), "arrival_rate_per_s must be a finite number of at least 0, got '1/s'; "),
        (lambda: theory.md1(math.inf, 1.0), "arrival_rate_per_s must be a finite number of at least 0, got inf; "),
        (lambda: theory.md1(10**400, 1.0), "arrival_rate_per_s must be a finite number of at least 0, got 1000"),
        (lambda: theory.mg1(1.0, 1.0, math.nan), "cv must be a finite number of at least 0, got nan; "),
        (lambda: theory.mg1_exceptional_first(1, 1, 0, 0, 0), "first_service_s must be positive, got 0; "),
        (lambda: theory.mmc(1.0, 1.0, 2.5), "servers must be a whole number of at least 1, got 2.5; "),
        (lambda: theory.mmc(1.0, 1.0, True), "servers must be a whole number of at least 1, got True; "),
        (lambda: theory.erlang_c(0, 1.0), "servers must be a whole number of at least 1, got 0; "),
        (lambda: theory.mxm1(1.0, 1.0, 0.5), "mean_batch must be at least 1, got 0.5; "),
        (lambda: theory.mxm1(1.0, 1.0, None), "mean_batch must be a finite number of at least 1, got None; "),
        (lambda: theory.mm1_wait_quantile_s(0.5, 1.0, 99), "p must lie strictly between 0 and 1, got 99; "),
        (lambda: theory.md1_wait_quantile_s(0.5, 1.0, 1.0), "p must lie strictly between 0 and 1, got 1.0; "),
        (lambda: theory.max_of_n_quantile(0, 5), "p must lie strictly between 0 and 1, got 0; "),
        (lambda: theory.fanout_md1(1, 0, 1e-6), "n_members must be a whole number of at least 1, got 0; "),
        (lambda: theory.fanout_md1(1, 1, 1e-6, -1), "decode_s must be at least 0, got -1; "),
        (lambda: theory.websockets_memory_bytes(8, 5), "window_bits must be a whole number from 9 to 15, got 8; "),
        (lambda: theory.websockets_memory_bytes(12, 10), "mem_level must be a whole number from 1 to 9, got 10; "),
        (lambda: theory.websockets_memory_bytes(12), "mem_level must be a whole number from 1 to 9, got None; "),
        (lambda: theory.pubsub_cut_after_s(-5), "feed_bytes_per_s must be at least 0, got -5; "),
        (lambda: theory.level_time_s(600, 0, 2), "servers must be a whole number of at least 1, got 0; "),
    ],
)
def test_a_wrong_argument_is_named_with_its_rule_and_value(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value).startswith(message)
