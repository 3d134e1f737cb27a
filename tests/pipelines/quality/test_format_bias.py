from __future__ import annotations

import pytest

from pairwright.pipelines.quality.format_bias import format_bias_of, formats_in

PAGE = """# Title

Some **bold** and `code`, 2 * 3 * 4.

- one
* two
  1. three
10) four

## Second

```python
# not a header
- not an item, **not bold**
```
"""


def test_headers_lists_bold_and_code_are_counted():
    assert formats_in(PAGE) == {"headers": 2, "lists": 4, "bold": 1, "code": 2}


@pytest.mark.parametrize(
    "plain",
    ["", "a #tag and 3*4*5", "-5 degrees\n2024 was long", "#hashtag", "snake__case is not ** bold **", "---\n***", "a ` b"],
)
def test_signs_that_are_no_markdown_do_not_count(plain):
    assert formats_in(plain) == {"headers": 0, "lists": 0, "bold": 0, "code": 0}


def test_a_fence_that_is_never_closed_is_code_to_the_end():
    assert formats_in("```\n# a\n# b\n") == {"headers": 0, "lists": 0, "bold": 0, "code": 1}


def test_bias_of_each_kind_is_over_all_pairs():
    found = format_bias_of([PAGE, "plain"], ["plain", "plain"], [2.0, 1.0])
    assert list(found) == ["headers", "lists", "bold", "code"]
    assert (found["lists"].mean, found["lists"].more, found["lists"].more_wins) == (2.0, 0.5, 0.75)
    assert found["bold"].rho == pytest.approx(1.0)
