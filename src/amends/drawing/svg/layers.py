"""A layered layout (Sugiyama, Tagawa and Toda 1981) for one level of a diagram.

**Why our own.**  The one layout library for Python that needs no binary, grandalf, is under the GPL or
the EPL, knows no boxes in boxes, and has not moved for years.  What a saga needs is small: flow from top
to bottom, a few hundred nodes at most.

**Theory of operation.**  Edges against the flow are turned round.  Each item gets a layer, one below the
deepest that leads to it.  Edges that cross layers get a dummy item in each.  Sweeps down and up sort
every layer by the mean place of the neighbours; the order with the fewest crossings wins.  Then x: each
layer in turn is placed as near as its order and gaps allow to what its neighbours ask for, in the sense
of least squares, which the pool-adjacent-violators algorithm solves exactly in linear time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import msgspec

SWEEPS = 12
PASSES = 40
GAP = 28.0
_NARROW = 8.0  # between lines that only pass


class Item(msgspec.Struct, eq=False):
    """Something to place: how far it reaches from its axis to the left and right, and its height."""

    left: float
    right: float
    height: float
    layer: int = 0
    x: float = 0.0
    dummy: bool = False
    above: list[Item] = []
    below: list[Item] = []


class Placed(msgspec.Struct):
    """The result: items know their `x` and `layer`; `chains` are the dummies of each edge, from source to
    target.
    """

    layers: list[list[Item]]
    chains: list[list[Item]]


def place(items: Sequence[Item], edges: Sequence[tuple[int, int]]) -> Placed:
    """Lay out the items; `edges` are pairs of places in `items`."""
    flow = _forward(len(items), edges)
    _rank(items, flow)
    layers: list[list[Item]] = [[] for _ in range(1 + max((item.layer for item in items), default=-1))]
    for item in items:
        layers[item.layer].append(item)
    chains = []
    for (source, target), turned in zip(
        flow, (pair != given for pair, given in zip(flow, edges, strict=True)), strict=True
    ):
        chain = _chain(items[source], items[target], layers) if source != target else []
        chains.append(chain[::-1] if turned else chain)
    layers = _sorted(layers)
    _spread(layers)
    return Placed(layers, chains)


def _forward(count: int, edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The edges, those that close a cycle turned round."""
    out: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        out[source].append(target)
    state = [0] * count  # 0: new, 1: on the way, 2: done
    back: set[tuple[int, int]] = set()
    for start in range(count):
        stack = [(start, iter(out[start]))] if not state[start] else []
        state[start] = state[start] or 1
        while stack:
            here, following = stack[-1]
            target = next(following, -1)
            if target < 0:
                state[here] = 2
                stack.pop()
            elif state[target] == 1:
                back.add((here, target))
            elif state[target] == 0:
                state[target] = 1
                stack.append((target, iter(out[target])))
    return [(t, s) if (s, t) in back else (s, t) for s, t in edges]


def _rank(items: Sequence[Item], edges: Iterable[tuple[int, int]]) -> None:
    """Each item one layer below the deepest that leads to it."""
    pairs = [(s, t) for s, t in edges if s != t]
    out: list[list[int]] = [[] for _ in items]
    waits = [0] * len(items)
    for source, target in pairs:
        out[source].append(target)
        waits[target] += 1
    ready = [place for place, count in enumerate(waits) if not count]
    while ready:
        here = ready.pop()
        for target in out[here]:
            items[target].layer = max(items[target].layer, items[here].layer + 1)
            waits[target] -= 1
            if not waits[target]:
                ready.append(target)


def _chain(source: Item, target: Item, layers: list[list[Item]]) -> list[Item]:
    """Dummies for the layers between; links all of them."""
    chain = []
    before = source
    for layer in range(source.layer + 1, target.layer):
        dummy = Item(left=5, right=5, height=0, layer=layer, dummy=True, above=[], below=[])
        layers[layer].append(dummy)
        chain.append(dummy)
        before.below.append(dummy)
        dummy.above.append(before)
        before = dummy
    before.below.append(target)
    target.above.append(before)
    return chain


# ---------------------------------------------------------------- order within the layers


def _sorted(layers: list[list[Item]]) -> list[list[Item]]:
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        places = {id(item): place for layer in layers for place, item in enumerate(layer)}
        for layer in layers if down else reversed(layers):
            _by_mean(layer, places, (lambda item: item.above) if down else (lambda item: item.below))
        found = _crossings(layers)
        if found < fewest:
            best, fewest = [list(layer) for layer in layers], found
    return best


def _by_mean(layer: list[Item], places: dict[int, int], near: Callable[[Item], list[Item]]) -> None:
    def mean(item: Item) -> float:
        found = [places[id(other)] for other in near(item)]
        return sum(found) / len(found) if found else places[id(item)]

    layer.sort(key=mean)
    places.update((id(item), place) for place, item in enumerate(layer))


def _crossings(layers: list[list[Item]]) -> int:
    total = 0
    for upper, lower in pairwise(layers):
        places = {id(item): place for place, item in enumerate(lower)}
        ends = [place for item in upper for place in sorted(places[id(other)] for other in item.below)]
        total += _inversions(ends)
    return total


def _inversions(values: list[int]) -> int:
    """Pairs in the wrong order, by a Fenwick tree."""
    tree = [0] * (max(values, default=0) + 2)
    found = 0
    for seen, value in enumerate(values):
        at, smaller = value + 1, 0
        while at:
            smaller += tree[at]
            at -= at & -at
        found += seen - smaller
        at = value + 1
        while at < len(tree):
            tree[at] += 1
            at += at & -at
    return found


# ---------------------------------------------------------------- x


def _spread(layers: list[list[Item]]) -> None:
    for layer in layers:
        x = 0.0
        for item in layer:
            item.x = x + item.left
            x += item.left + item.right + GAP
        for item in layer:
            item.x -= x / 2
    for sweep in range(PASSES):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = [_wish(item, both=sweep >= PASSES // 2, down=sweep % 2 == 0) for item in layer]
            for item, x in zip(layer, _nearest(layer, wanted), strict=True):
                item.x = x


_STIFF = (1.0, 2.0, 16.0)
"""How strongly two neighbours want one axis, by how many of them are dummies: long lines are straight."""


def _wish(item: Item, *, both: bool, down: bool) -> tuple[float, float]:
    """Where the neighbours want it, and how strongly."""
    near = item.above + item.below if both else (item.above if down else item.below)
    if not near:
        return item.x, 0.1
    weights = [_STIFF[item.dummy + other.dummy] for other in near]
    mean = sum(other.x * weight for other, weight in zip(near, weights, strict=True)) / sum(weights)
    return mean, sum(weights)


def _gap(one: Item, other: Item) -> float:
    """From axis to axis."""
    return one.right + other.left + (_NARROW if one.dummy and other.dummy else GAP)


def _nearest(layer: list[Item], wanted: list[tuple[float, float]]) -> list[float]:
    """The places in this order, with gaps, that differ least (in squares) from what is wanted."""
    offset, offsets = 0.0, []
    for place, item in enumerate(layer):
        if place:
            offset += _gap(layer[place - 1], item)
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for (x, weight), offset in zip(wanted, offsets, strict=True):
        pool = (x - offset, weight, 1)
        while pools and pools[-1][0] >= pool[0]:
            mean, heavier, count = pools.pop()
            total = heavier + pool[1]
            pool = ((mean * heavier + pool[0] * pool[1]) / total, total, count + pool[2])
        pools.append(pool)
    means = [mean for mean, _, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
