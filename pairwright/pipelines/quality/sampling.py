"""Some of many rows, the same ones whenever they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def order_of(ids: Sequence[str], purpose: str) -> npt.NDArray[np.uint64]:
    """One number per id, uniform over 64 bits, that depends on nothing but the id and `purpose`: sort by it to draw at random."""
    key = hashlib.blake2b(purpose.encode(), digest_size=32).digest()
    hashed = (hashlib.blake2b(i.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest() for i in ids)
    return np.frombuffer(b"".join(hashed), dtype=">u8").astype(np.uint64)


def sample(ids: Sequence[str], size: int, purpose: str = "sample") -> list[int]:
    """The places, ascending, of `size` of the rows with these ids (all, if there are no more): those that come first by
    `order_of`, so that another row changes the sample by one at most."""
    if len(ids) <= size:
        return list(range(len(ids)))
    return sorted(np.argsort(order_of(ids, purpose), kind="stable")[:size].tolist())
