"""Whatever answers a question is told in one way: strict JSON, written whole, and tables that escape what they hold."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import realtime_sim
from realtime_sim.answers import Answer, figures_html, json_text, table_html, without_nan

SCALARS = st.one_of(
    st.floats(), st.floats().map(np.float64), st.integers(-(2**63), 2**63 - 1).map(np.int64), st.none(), st.text()
)
PLAIN = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)))


class Found(Answer):
    def to_plain(self) -> dict[str, object]:
        return {"µ": 0.5, "n": [1, None]}


def test_the_text_is_indented_and_as_people_write_it(tmp_path):
    written = '{\n "µ": 0.5,\n "n": [\n  1,\n  null\n ]\n}'
    assert Found().to_json() == Found().to_json(tmp_path / "deep" / "found.json") == written
    assert (tmp_path / "deep" / "found.json").read_text(encoding="utf-8") == written


@given(PLAIN)
def test_plain_data_is_strict_json_and_comes_back_as_it_was(value):
    plain = without_nan(value)
    text = json_text(plain)
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == plain


def test_a_number_that_json_does_not_have_is_null_or_an_error():
    assert without_nan((math.nan, -math.inf, np.float32("inf"), 0.0)) == [None, None, None, 0.0]
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text([math.nan])


@pytest.mark.parametrize("name", ["Comparison", "Plan", "Results", "Sensitivity", "Sizing", "Sweep"])
def test_no_answer_has_json_of_its_own(name):
    assert getattr(realtime_sim, name).to_json is Answer.to_json


def test_tables_escape_text_have_four_digits_and_leave_free_what_is_missing():
    frame = pd.DataFrame({"<b>": [1234.5678, math.nan]}, index=["one", "two"])
    shown = figures_html(frame)
    assert "<td>1,235</td>" in shown and "<td></td>" in shown and "&lt;b&gt;" in shown and "<th>one</th>" in shown
    assert "<th>one</th>" not in figures_html(frame, index=False)
    table = table_html([["name", "<i>"], ["x & y", "3"]])
    assert "<th>&lt;i&gt;</th>" in table and "<td>x &amp; y</td>" in table and 'border="1"' not in table
