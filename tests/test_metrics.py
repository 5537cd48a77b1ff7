"""Metrics have names, units and kinds as Prometheus asks for, one row for each figure of a monitoring page."""

from __future__ import annotations

import dataclasses
import re

import pytest

from realtime_sim.metrics import METRICS, MONITORED

ROWS = pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))


# Known values: the Prometheus documentation, "Data model" and "Metric and label naming".


def test_the_four_metrics_are_those_of_a_real_time_service():
    kinds = {key: (METRICS[key].name, METRICS[key].kind) for key in MONITORED}
    assert kinds == {
        "active_connections": ("realtime_active_connections", "gauge"),
        "delivery_latency": ("realtime_delivery_latency_seconds", "histogram"),
        "channel_subscribers": ("realtime_channel_subscribers", "gauge"),
        "reconnection_rate": ("realtime_reconnections_total", "counter"),
    }


@ROWS
def test_names_and_labels_are_made_of_the_signs_that_are_allowed(metric):
    """Data model: [a-zA-Z_:][a-zA-Z0-9_:]* for names, the colon left to recording rules; no colon in labels."""
    for name in (metric.name, *metric.labels):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name) and "__" not in name


@ROWS
def test_a_name_starts_with_the_application_and_ends_with_what_it_counts(metric):
    """Naming: one prefix, base units in the plural, `_total` for counters and for nothing else."""
    assert metric.name.startswith("realtime_")
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    if metric.kind == "histogram":
        assert metric.unit == "seconds" and metric.name.endswith("_seconds")


@ROWS
def test_no_label_takes_a_value_for_every_client(metric):
    """Naming: "Do not use labels to store dimensions with high cardinality"."""
    assert set(metric.labels) <= {"server", "cohort", "transport"}
    assert "le" not in metric.labels  # the histogram's own


@ROWS
def test_every_metric_says_what_it_tells_in_one_line(metric):
    assert metric.kind in ("gauge", "counter", "histogram")
    assert len(metric.help) > 20 and metric.help.isprintable() and metric.help[0].isupper()


def test_no_name_stands_for_two_metrics():
    assert len({metric.name for metric in METRICS.values()}) == len(METRICS)


# Errors.


def test_the_table_and_its_rows_are_read_only():
    with pytest.raises(TypeError, match="does not support item assignment"):
        METRICS["x"] = METRICS["delivery_latency"]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'unit'"):
        METRICS["delivery_latency"].unit = "ms"
