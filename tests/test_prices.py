"""A price table is read whole or refused with what is wrong with it, and a month costs what a hand reckons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sim.errors import ScenarioError
from realtime_sim.prices import Prices

TABLE = {"currency": "EUR", "server_per_hour": 0.1, "broker_per_hour": 0.05, "egress_per_gb": 0.08}
BY_NAME = TABLE | {"server_per_hour": {"small": 0.05, "centrifugo": 0.2}, "broker_per_hour": {"kafka": 0.6}}


@pytest.mark.parametrize(
    ("servers", "brokers", "bytes_per_s", "parts"),
    [
        (1, 0, 0, (73.0, 0.0, 0.0)),  # 730 h x 0.10
        (20, 2, 0, (1460.0, 73.0, 0.0)),  # 2 x 730 h x 0.05
        (0, 0, 1e9, (0.0, 0.0, 210_240.0)),  # 1 GB/s x 2,628,000 s x 0.08
    ],
)
def test_a_month_is_730_hours_and_a_gigabyte_a_billion_bytes(servers, brokers, bytes_per_s, parts):
    cost = Prices(**TABLE).monthly(servers, ["any"], brokers=brokers, egress_bytes_per_s=bytes_per_s)
    assert (cost.servers, cost.broker, cost.egress) == pytest.approx(parts)
    assert cost.total == pytest.approx(sum(parts)) and cost.currency == "EUR"


def test_the_first_name_that_has_a_price_counts():
    prices = Prices(**BY_NAME)
    assert prices.monthly(1, ["small", "centrifugo"]).servers == pytest.approx(0.05 * 730)
    assert prices.monthly(1, ["large", "centrifugo"]).servers == pytest.approx(0.2 * 730)
    assert prices.monthly(1, ["small"], brokers=1, kind="kafka").broker == pytest.approx(0.6 * 730)
    assert [prices.has_price(name) for name in ("small", "large")] == [True, False]
    assert Prices(**TABLE).has_price("anything")


def test_what_is_not_in_the_table_costs_nothing():
    cost = Prices(currency="USD", server_per_hour=0).monthly(5, [""], brokers=3, egress_bytes_per_s=1e9)
    assert cost.total == 0 and str(cost) == "0 USD a month"


@given(st.integers(0, 10_000), st.integers(0, 100), st.floats(0, 1e12))
def test_cost_is_proportional(servers, brokers, bytes_per_s):
    prices = Prices(**TABLE)
    one = prices.monthly(servers, [""], brokers=brokers, egress_bytes_per_s=bytes_per_s)
    two = prices.monthly(2 * servers, [""], brokers=2 * brokers, egress_bytes_per_s=2 * bytes_per_s)
    assert two.total == pytest.approx(2 * one.total)
    assert one.to_plain()["total"] == one.total >= 0


def test_a_file_a_mapping_and_a_table_are_one(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("currency: EUR\nserver_per_hour: 0.1\nbroker_per_hour: 0.05\negress_per_gb: 0.08\n")
    prices = Prices(**TABLE)
    assert Prices.read(path) == Prices.read(str(path)) == Prices.read(TABLE) == prices
    assert Prices.read(prices) is prices


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"currency": None}, "prices.currency must be text, got None; put it in quotes"),
        ({"server_per_hour": -1}, "prices.server_per_hour must be from 0 to 1,000,000,000,000, got -1; write it like"),
        ({"server_per_hour": "much"}, "prices.server_per_hour must be a number such as 0.25, got 'much'"),
        ({"server_per_hour": True}, "prices.server_per_hour must be a number such as 0.25, got True"),
        ({"server_per_hour": {}}, "prices.server_per_hour must have a price, got {}; write it like {small: 0.05"),
        ({"server_per_hour": {"small": "x"}}, "prices.server_per_hour.small must be a number such as 0.25, got 'x'"),
        ({"egress_per_gb": float("nan")}, "prices.egress_per_gb must be a finite number such as 0.25, got nan"),
        (
            {"servers_per_hour": 1},
            "prices.servers_per_hour is not a known field, got 1; did you mean 'server_per_hour'?",
        ),
        ({"vat": 1}, "prices.vat is not a known field, got 1; known names: broker_per_hour, currency"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(change, message):
    with pytest.raises(ScenarioError) as error:
        Prices(**(TABLE | change))
    assert message in str(error.value)
    assert "realtime-sim fields" not in str(error.value)


def test_everything_that_is_wrong_is_told_at_once():
    with pytest.raises(ScenarioError) as error:
        Prices(server_per_hour={"a": -1, "b": "x"})
    assert [problem.path for problem in error.value.problems] == [
        "prices.currency", "prices.server_per_hour.a", "prices.server_per_hour.b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- 1\n", "prices must be a mapping of fields, got [1]; start with 'currency:'"),
        ("currency: [\n", "prices must be a readable YAML file ("),
        ("currency: EUR\nserver_per_hour: x\n", "prices.server_per_hour must be a number"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, content, message):
    path = tmp_path / "p.yaml"
    path.write_text(content)
    with pytest.raises(ScenarioError) as error:
        Prices.read(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_a_missing_file_says_what_to_write(tmp_path):
    with pytest.raises(
        ScenarioError, match=r"readable YAML file \(No such file or directory\).*write one with currency"
    ):
        Prices.read(tmp_path / "none.yaml")


def test_an_entry_that_is_nearly_what_is_asked_for_is_the_one_that_is_wrong(tmp_path):
    """The table says `smal`; what is asked for is spelt right."""
    path = tmp_path / "p.yaml"
    path.write_text("currency: EUR\nserver_per_hour: {smal: 0.1}\nbroker_per_hour: {redis_pubsb: 0.2}\n")
    with pytest.raises(ScenarioError) as error:
        Prices.read(path).monthly(1, ["small", "zero"])
    assert str(error.value) == (
        f"{path}: prices.server_per_hour.smal must be the name of what is asked for ('small' or 'zero' has no price), "
        "got 'smal'; did you mean 'small'? If not, add a price for it"
    )
    with pytest.raises(ScenarioError, match=r"broker_per_hour.redis_pubsb must .*did you mean 'redis_pubsub'\?"):
        Prices.read(path).monthly(0, ["smal"], brokers=1, kind="redis_pubsub")


def test_a_price_that_is_missing_is_asked_for_in_the_file_it_is_missing_in(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("currency: EUR\nserver_per_hour: {large: 0.1}\n")
    table = Prices.read(path)
    message = (
        "prices.server_per_hour must have a price for 'zero', got {'large': 0.1}; add it, or give one price for all"
    )
    for read in (table, Prices.read(table)):
        with pytest.raises(ScenarioError) as error:
            read.monthly(1, ["zero", "zero"])
        assert str(error.value) == f"{path}: {message}"
    unnamed = Prices(currency="EUR", server_per_hour={"large": 0.1})
    with pytest.raises(ScenarioError) as error:
        unnamed.monthly(1, ["zero"])
    assert str(error.value) == message and unnamed == table and unnamed != "large"
