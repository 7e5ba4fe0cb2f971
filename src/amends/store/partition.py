"""Partitions: into which of a fixed number an execution falls, and which of them a server holds.

The root's id decides, with its namespace, and nothing else: so two starts of one id meet in one partition
wherever they are made, and all that is nested in an execution is where its root is (a nested id begins with
its root's).  The number never changes, so that the partition of an id never does; servers hold ranges.
"""

from __future__ import annotations

import hashlib

import msgspec

from ..definition.naming import RESERVED

PARTITIONS = 4096
"""How many there are; also the largest number of servers."""


def partition_of(namespace: str, id: str) -> int:
    """The partition of an execution, nested or not."""
    return _hashed(f"{namespace}\0{id.partition(RESERVED)[0]}")


def partition_of_key(namespace: str, subject: str) -> int:
    """The partition of a subject's data key."""
    return _hashed(f"{namespace}\0key\0{subject}")


def _hashed(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % PARTITIONS


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one of `count` servers holds: the partitions from `first` to before `past`. number: from 0."""

    number: int
    count: int

    @property
    def first(self) -> int:
        """The first partition that it holds."""
        return PARTITIONS * self.number // self.count

    @property
    def past(self) -> int:
        """The first one after those that it holds."""
        return PARTITIONS * (self.number + 1) // self.count

    @property
    def said(self) -> str:
        """In words, for people."""
        return f"server {self.number + 1} of {self.count} (partitions {self.first} to {self.past - 1})"


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of itself. family: the same for all servers of a store.  complete: each of them has
    been told."""

    family: str
    share: Share
    complete: bool = False


def shares(count: int) -> list[Share]:
    """All partitions, shared out among so many servers: each has exactly one, in order."""
    return [Share(number=number, count=count) for number in range(count)]


def holder_of(partition: int, count: int) -> int:
    """The number of the server that holds it, of so many."""
    return ((partition + 1) * count - 1) // PARTITIONS
