"""Every id is in one partition, every partition is on one server."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.definition.naming import RESERVED
from amends.store.partition import PARTITIONS, holder_of, partition_of, partition_of_key, shares

COUNTS = st.integers(1, PARTITIONS)
texts = st.text(max_size=30)


@given(COUNTS, st.integers(0, PARTITIONS - 1))
def test_every_partition_has_exactly_one_server(count: int, partition: int) -> None:
    holding = [share.number for share in shares(count) if share.first <= partition < share.past]
    assert holding == [holder_of(partition, count)]


@given(COUNTS)
def test_shares_are_even_and_cover_all(count: int) -> None:
    parts = shares(count)
    sizes = [share.past - share.first for share in parts]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1
    ends = [0, *(share.past for share in parts)]
    assert [share.first for share in parts] == ends[:-1]
    assert ends[-1] == PARTITIONS


@given(texts, texts.filter(lambda id: RESERVED not in id), texts)
def test_what_is_nested_is_where_its_root_is(namespace: str, id: str, action: str) -> None:
    root = partition_of(namespace, id)
    assert 0 <= root < PARTITIONS
    assert partition_of(namespace, f"{id}{RESERVED}{action}") == root


@pytest.mark.parametrize(
    ("namespace", "id", "partition"),
    [
        ("default", "order-1001", 3823),
        ("default", "order-1002", 1539),
        ("shop", "order-1001", 2204),
        ("", "\ud800", 799),
    ],
)
def test_the_partition_of_an_id_never_changes(namespace: str, id: str, partition: int) -> None:
    """What is stored was placed by it: no release may compute another one."""
    assert partition_of(namespace, id) == partition


def test_keys_have_partitions_of_their_own() -> None:
    assert partition_of_key("default", "ann") == 481
    assert 0 <= partition_of_key("default", "") < PARTITIONS


def test_ids_are_spread_evenly() -> None:
    counts = Counter(holder_of(partition_of("default", f"order-{n}"), 4) for n in range(20_000))
    assert sorted(counts) == [0, 1, 2, 3]
    assert max(counts.values()) < 1.1 * min(counts.values())
