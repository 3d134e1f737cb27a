"""Histograms made in the database: no row is lost, limits are in sight, and outliers do not squeeze the rest."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.reporting.histograms import MANY, Histogram, histogram
from pairwright.storage import sql

Value = st.none() | st.floats(-1e9, 1e9, allow_nan=False)


CON = sql.open_memory()


def counted(values: list[float | None], series: list[str] | None = None, include: tuple[float, ...] = ()) -> Histogram | None:
    CON.register("given", pa.table({"x": pa.array(values, pa.float64()), "series": pa.array(series or ["all"] * len(values))}))
    return histogram(CON, "SELECT x, series FROM given", include)


@given(st.lists(st.tuples(Value, st.sampled_from("ab")), max_size=60), st.floats(-1e6, 1e6, allow_nan=False))
def test_every_value_is_counted_once_in_its_series_and_every_limit_is_in_sight(
    rows: list[tuple[float | None, str]], limit: float
) -> None:
    found = counted([x for x, _ in rows], [s for _, s in rows], (limit,))
    known = [(x, s) for x, s in rows if x is not None]
    if not known:
        assert found is None
        return
    assert found is not None
    assert (found.total, found.missing) == (len(known), len(rows) - len(known))
    for name in "ab":
        assert found.counts.get(name, np.zeros(1)).sum() == sum(s == name for _, s in known)
    assert found.edges[0] <= limit <= found.edges[-1]
    assert (np.diff(found.edges) > 0).all() and len(found.edges) <= MANY + 1


def test_a_wild_outlier_is_counted_at_the_end_and_named() -> None:
    found = counted([float(i % 100) + 0.5 for i in range(1000)] + [1e9])
    assert found is not None
    assert found.edges[-1] < 1000
    assert (found.below, found.above) == (0, 1)
    assert "1 above" in found.beyond
    assert found.counts["all"].sum() == 1001


def test_few_whole_numbers_get_a_bin_each() -> None:
    found = counted([1.0, 1.0, 3.0, 4.0])
    assert found is not None
    assert found.edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert found.counts["all"].tolist() == [2, 0, 1, 1]


@pytest.mark.parametrize("value", [0.0, 0.25, -3e8])
def test_equal_values_stand_in_one_bin(value: float) -> None:
    found = counted([value] * 5)
    assert found is not None
    assert sorted(found.counts["all"].tolist())[-2:] in ([0, 5], [5])
