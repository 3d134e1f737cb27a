from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.quality.sampling import order_of, sample

IDS = st.lists(st.text(max_size=5), unique=True, min_size=1, max_size=40)


@given(IDS, st.integers(0, 20))
def test_the_same_rows_whatever_their_order(ids, size):
    taken = {ids[i] for i in sample(ids, size)}
    assert len(taken) == min(size, len(ids))
    assert taken == {sorted(ids)[i] for i in sample(sorted(ids), size)}


@given(IDS, st.integers(1, 20))
def test_one_more_row_changes_the_sample_by_one(ids, size):
    before, after = ({some[k] for k in sample(some, size)} for some in (ids[:-1], ids))
    assert len(before - after) <= 1 and len(after - before) <= 1


def test_order_is_uniform_and_depends_on_the_purpose():
    ids = [f"id{i}" for i in range(4000)]
    order = order_of(ids, "one").astype(float) / 2**64
    assert abs(order.mean() - 0.5) < 0.03 and abs(order.std() - 12**-0.5) < 0.02
    assert abs(np.corrcoef(order, order_of(ids, "two").astype(float))[0, 1]) < 0.06
    assert len(order_of([], "one")) == 0
