"""Units read what people write, to the very number it stands for, and write what they read back unchanged."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime_sim import units

PARSERS = {
    "duration": units.parse_duration,
    "size": units.parse_size,
    "rate": units.parse_rate,
    "bandwidth": units.parse_bandwidth,
    "whole number": units.parse_count,
    "number": units.parse_number,
}
NO_BANDWIDTH = "must be a bandwidth such as '1 Gbit/s', '12.5 MB/s' or a plain number of bytes per second"

# Known values: the prefixes of SI (SI Brochure, table 7), those of IEC 80000-13 (kibi is 1,024), bits by the eight.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25), ("1us", 1e-6), ("1µs", 1e-6), ("1μs", 1e-6), ("7ns", 7e-9), ("3s", 3.0), ("3 sec", 3.0),
        ("1.5min", 90.0), ("2m", 120.0), ("1h", 3_600.0), ("1d", 86_400.0), ("1_000", 1_000.0), (" .5 s ", 0.5),
        ("2e3ms", 2.0), ("-1s", -1.0), ("5.", 5.0),
    ],
)  # fmt: skip
def test_a_duration_is_read_in_seconds(text, seconds):
    """Both Unicode signs for micro count: U+00B5 and the Greek letter U+03BC."""
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("1B", 1), ("1kB", 1_000), ("1MB", 10**6), ("1GB", 10**9), ("1TB", 10**12), ("1KiB", 1_024),
        ("1MiB", 1_048_576), ("1GiB", 1_073_741_824), ("1TiB", 1_099_511_627_776), ("0.5 kiB", 512), ("1.001kB", 1_001),
    ],
)  # fmt: skip
def test_a_size_is_read_in_bytes(text, n_bytes):
    assert units.parse_size(text) == n_bytes


@pytest.mark.parametrize(
    ("text", "per_s"),
    [("500/s", 500.0), ("30/min", 0.5), ("36 / h", 0.01), ("5/ms", 5_000.0), ("1/us", 1e6), ("1/ns", 1e9), ("7", 7.0)],
)
def test_a_rate_is_read_per_second(text, per_s):
    assert units.parse_rate(text) == per_s


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [("8bit/s", 1.0), ("1kbit/s", 125.0), ("1 Gbit/s", 125e6), ("1MB/s", 1e6), ("1KiB/s", 1_024.0), ("64", 64.0)],
)
def test_a_bandwidth_is_read_in_bytes_per_second(text, bytes_per_s):
    assert units.parse_bandwidth(text) == bytes_per_s


@pytest.mark.parametrize(
    ("seconds", "ns"), [(0.5e-9, 0), (1.5e-9, 2), (2.5e-9, 2), (0.25, 250_000_000), (-1e-9, -1), (1e9, 10**18)]
)
def test_seconds_become_nanoseconds_rounded_half_to_even(seconds, ns):
    assert units.to_ns(seconds) == ns
    assert units.to_ns(np.array([seconds])).tolist() == [ns]


def test_the_longest_time_fits_an_int64_nine_times():
    assert 9 * units.to_ns(units.MAX_SECONDS) <= 2**63 - 1 < 10 * units.to_ns(units.MAX_SECONDS)


# Properties.


@given(st.integers(1, 10**7), st.sampled_from([("kB", 3), ("MB", 6), ("GB", 9)]))
@example(1_001, ("kB", 3))
def test_a_size_in_decimals_is_the_whole_number_it_stands_for(n_bytes, unit):
    """1.001 kB is 1,001 bytes, though 1.001 * 1000 is 1000.9999999999999."""
    name, digits = unit
    whole, rest = divmod(n_bytes, 10**digits)
    assert units.parse_size(f"{whole}.{rest:0{digits}}{name}") == n_bytes


@given(st.floats(0, units.MAX_SECONDS))
@example(0.1 + 0.2)
def test_durations_are_written_so_that_they_read_back_the_same(seconds):
    assert units.parse_duration(units.format_duration(seconds)) == seconds
    assert units.parse_duration(units.format_duration(np.float64(seconds))) == seconds


@given(st.integers(0, 2**53))
def test_sizes_are_written_so_that_they_read_back_the_same(n_bytes):
    assert units.parse_size(units.format_size(n_bytes)) == n_bytes


@given(st.floats(1e-300, 1e15))
@example(1 / 3)
def test_rates_and_bandwidths_are_written_so_that_they_read_back_the_same(per_s):
    for number in (per_s, np.float64(per_s)):
        assert units.parse_rate(units.format_rate(number)) == per_s
        assert units.parse_bandwidth(units.format_bandwidth(number)) == per_s


@given(st.integers(0, 2**51))
def test_nanoseconds_survive_the_way_to_seconds_and_back(ns):
    """Two roundings of 2**-53 each move n by at most n * 2**-52, which is half a nanosecond at 2**51 (26 days)."""
    assert units.to_ns(units.from_ns(ns)) == ns
    assert units.to_ns(units.from_ns(np.array([ns]))).tolist() == [ns]


@given(st.floats(0, 1e6))
def test_the_nearest_nanosecond_is_taken(seconds):
    """Half a nanosecond off, and what a product of a double is off: 2**-53 of it."""
    off = abs(Fraction(units.to_ns(seconds)) - Fraction(seconds) * 10**9)
    assert off <= Fraction(1, 2) + Fraction(seconds) * 10**9 / 2**53


@pytest.mark.parametrize("parse", PARSERS.values(), ids=list(PARSERS))
@pytest.mark.parametrize("number", [3, 3.0, np.int64(3), np.float64(3), "3", " 3 ", "+3", "3.0", "3e0"])
def test_a_plain_number_is_its_own_value(parse, number):
    assert parse(number) == 3
    assert type(parse(number)) in (int, float)


@pytest.mark.parametrize("text", ["1" * 20_000 + "!", "1" + " " * 2_000 + "!"], ids=["digits", "spaces"])
def test_long_text_is_refused_at_once(text):
    """20,000 signs tried in pairs, or 2,000 in triples, take a processor seconds; one pass takes no millisecond."""
    before = time.process_time()
    with pytest.raises(ValueError, match="must be a duration such as"):
        units.parse_duration(text)
    assert time.process_time() - before < 1


# Errors.


@pytest.mark.parametrize("value", ["", "fast", "1 2", "s", "1s!", None, True, [1], 1j, "1__s-"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("duration", "must be a duration such as '250ms' or 0.25"),
        ("size", "must be a size such as '10 KiB' or 10240"),
        ("rate", "must be a rate such as '500/s' or 500"),
        ("bandwidth", "must be a bandwidth such as '1 Gbit/s' or '12.5 MB/s'"),
        ("whole number", "must be a whole number such as 20_000"),
        ("number", "must be a number such as 0.25"),
    ],
)
def test_what_is_no_quantity_is_refused_with_an_example(kind, message, value):
    with pytest.raises(ValueError) as caught:
        PARSERS[kind](value)
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", PARSERS)
@pytest.mark.parametrize("value", [float("inf"), float("nan"), "1e999", 10**400])
def test_what_is_not_finite_is_refused(kind, value):
    with pytest.raises(ValueError, match=f"^must be a finite {kind} such as "):
        PARSERS[kind](value)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("duration", "3 parsec", "must be a duration with unit ns, us, ms, s, min, h or d"),
        ("duration", "3MS", "must be a duration with unit ns, us, ms, s, min, h or d"),
        ("duration", "3/s", "must be a duration with unit ns, us, ms, s, min, h or d"),
        ("size", "3 s", "must be a size with unit B, kB, MB, GB, KiB, MiB or GiB"),
        ("size", "1.5B", "must be a whole number of bytes"),
        ("size", 0.5, "must be a whole number of bytes"),
        ("size", "0.0001kB", "must be a whole number of bytes"),
        ("rate", "3s", "must be a rate such as '500/s', '30/min' or a plain number per second"),
        ("rate", "3/parsec", "must be a rate such as '500/s', '30/min' or a plain number per second"),
        ("bandwidth", "1 Gbit", NO_BANDWIDTH),
        ("bandwidth", "100 Mb/s", "must be a bandwidth in bits or bytes, and 'Mb' may be either (Mbit/s or MB/s)"),
        ("bandwidth", "1Gb/s", "must be a bandwidth in bits or bytes, and 'Gb' may be either (Gbit/s or GB/s)"),
        ("size", "100 Mb", "must be a size in bytes, and 'Mb' may be bits (write MB)"),
        ("size", "1kib", "must be a size in bytes, and 'kib' may be bits (write KiB)"),
        ("bandwidth", "1MB/min", NO_BANDWIDTH),
        ("whole number", "2.5", "must be a whole number such as 20_000"),
        ("whole number", "2s", "must be a whole number such as 20_000"),
        ("number", "2/s", "must be a number such as 0.25"),
        ("number", "2ms", "must be a number such as 0.25"),
    ],
)  # fmt: skip
def test_a_unit_of_another_kind_is_refused_with_the_units_that_fit(kind, value, message):
    with pytest.raises(ValueError) as caught:
        PARSERS[kind](value)
    assert str(caught.value) == message
