"""Choice points, paths through them, and the order in which paths are tried.

**Theory of operation.**  A run asks `Path.choose` wherever something could go one way or another; the first
option is that all is well.  A path is named by its *deviations*: at which points it took another option.  A
run takes the options its path names and the first one everywhere else, so each run tells which points come
after its last deviation, and each other option there is a new path.  Every path is tried exactly once, those
with fewer faults first (stateless model checking: Godefroid, POPL 1997; bounding the deviations: Musuvathi
and Qadeer, PLDI 2007).

Nothing is random, so a run that repeats the beginning of another one must meet the same points. If it does
not, the saga's code (or a participant) does not do the same thing twice: `Unrepeatable`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from .faults import cost

Deviation = tuple[int, str, int]
"""Number of the choice point, the option taken, and the digest of all points up to there."""


class Unrepeatable(Exception):
    """The same beginning led to another choice point."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Point(msgspec.Struct, gc=False):
    """A choice point that a run met: its name, its options and the one taken."""

    key: str
    options: Sequence[str]
    taken: str
    digest: int


class Path:
    """The choices of one run. `deviations` in ascending order; none: all is well everywhere."""

    def __init__(self, deviations: tuple[Deviation, ...] = (), spent: int = 0) -> None:
        self.deviations = deviations
        self.spent = spent
        self.points: list[Point] = []
        self.calm = False
        self._digest = 0
        self._forced = {place: (option, digest) for place, option, digest in deviations}
        self._fixed = deviations[-1][0] + 1 if deviations else 0

    def choose(self, key: str, options: Sequence[str]) -> str:
        """The option to take at this point. Raises `Unrepeatable`."""
        if self.calm:
            return options[0]
        points = self.points
        digest = hash((self._digest, key))
        forced = self._forced.get(len(points))
        if forced is None:
            taken = options[0]
        else:
            taken, expected = forced
            if expected != digest:
                raise Unrepeatable(key)
        points.append(Point(key, options, taken, digest))
        self._digest = hash((digest, taken))
        return taken

    def again(self) -> Path:
        """The same path, for another run."""
        return Path(self.deviations, self.spent)

    @property
    def fresh(self) -> bool:
        """Was the last point met for the first time, after all deviations?"""
        return len(self.points) > self._fixed

    def further(self, budget: int) -> list[tuple[Deviation, int]]:
        """The paths that leave this one at a point after its last deviation, within `budget` faults: how, and
        with how many faults then.
        """
        found = []
        for place in range(self._fixed, len(self.points)):
            point = self.points[place]
            for option in point.options[1:]:
                spent = self.spent + cost(option)
                if spent <= budget:
                    found.append(((place, option, point.digest), spent))
        return found

    def check(self) -> None:
        """The run is over: it must have come to all that the path names. Raises `Unrepeatable`."""
        if len(self.points) < self._fixed and not self.calm:
            raise Unrepeatable("its end")

    @property
    def replay(self) -> str:
        """The path as text: what deviates, by the names of the points."""
        return " ".join(f"{p.key}={p.taken}" for p in self.points if p.taken != p.options[0])


class Scripted(Path):
    """A path given as text (`Path.replay`)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.wanted = dict(part.rpartition("=")[::2] for part in text.split())

    def again(self) -> Scripted:
        return Scripted(self.text)

    def choose(self, key: str, options: Sequence[str]) -> str:
        """The option that the text names for this point."""
        if self.calm:
            return options[0]
        taken = self.wanted.pop(key, options[0])
        digest = hash((self._digest, key))
        self.points.append(Point(key, options, taken, digest))
        self._digest = hash((digest, taken))
        return taken


class Frontier:
    """Paths still to be tried, by the number of their faults."""

    def __init__(self, budget: int) -> None:
        self._levels: list[deque[Path]] = [deque() for _ in range(budget + 1)]
        self._levels[0].append(Path())

    def add(self, path: Path, further: Iterable[tuple[Deviation, int]]) -> None:
        """A path has been run: queue those that leave it (`Path.further`)."""
        for deviation, spent in further:
            self._levels[spent].append(Path((*path.deviations, deviation), spent))

    def next(self) -> Path | None:
        """A path with as few faults as possible; None when all have been tried."""
        for level in self._levels:
            if level:
                return level.popleft()
        return None

    def following(self, path: Path) -> Sequence[Path]:
        """Those that are certain to come right after a path that was next."""
        return self._levels[path.spent]

    def __len__(self) -> int:
        return sum(map(len, self._levels))
