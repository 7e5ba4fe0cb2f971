"""The machine: Python, SQLite, disk, file system, memory."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from ...store.sqlite import checkup
from .finding import Finding, careful, fine, problem, size

MIB = 1024 * 1024
_SUPPORTED = ((3, 11), (3, 13))
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "9p", "fuse.sshfs"}


def examine_machine(file: Path | None) -> Iterator[Finding]:
    """`file`: the database, if it is one."""
    yield python(sys.version_info[:2])
    yield sqlite(checkup.sqlite_version())
    if file is not None:
        folder = file.resolve().parent
        if folder.is_dir():
            yield room(shutil.disk_usage(folder).free)
            yield file_system(folder, _mounts())
    available = _memory()
    if available is not None:
        yield memory(available)


def python(version: tuple[int, ...]) -> Finding:
    """Is this Python one that amends is tested with?"""
    seen = f"{platform.python_implementation()} {platform.python_version()}"
    low, high = _SUPPORTED
    if not low <= version[:2] <= high:
        tested = f"{low[0]}.{low[1]} to {high[0]}.{high[1]}"
        return careful("python", f"{version[0]}.{version[1]}", f"amends is tested with Python {tested}")
    return fine("python", seen)


def sqlite(version: str) -> Finding:
    """Has this SQLite the race that corrupts files?"""
    if checkup.has_wal_reset_race(version):
        return problem(
            "sqlite", f"{version}, whose WAL-reset race can corrupt a file", "pip install --upgrade apsw"
        )
    return fine("sqlite", f"{version} (without the WAL-reset race)")


def room(free: int) -> Finding:
    """Is there room on the disk?"""
    seen = f"{size(free)} free"
    if free < 50 * MIB:
        return problem("disk", seen, "free some: without room nothing can be journaled and all work holds")
    if free < 500 * MIB:
        return careful("disk", seen, "free some soon")
    return fine("disk", seen)


def file_system(folder: Path, mounts: list[tuple[str, str]]) -> Finding:
    """Is the file on a local disk? `mounts`: mount point and type of each file system."""
    kinds = [(len(point), kind) for point, kind in mounts if folder.is_relative_to(point)]
    if not kinds:
        return fine("file system", "not known on this system")
    kind = max(kinds)[1]
    if kind in _NETWORK:
        return problem(
            "file system",
            f"{folder} is on {kind}, a network file system: locks and shared memory do not hold there",
            "move the file to a local disk",
        )
    if kind in {"tmpfs", "ramfs"}:
        return careful("file system", f"{folder} is in memory ({kind})", "it is gone after a reboot")
    return fine("file system", f"{kind}, local")


def memory(available: int) -> Finding:
    """Is there memory left?"""
    seen = f"{size(available)} available"
    if available < 100 * MIB:
        return careful("memory", seen, "stop something, or lower Settings(resident=…, live=…)")
    return fine("memory", seen)


def _mounts() -> list[tuple[str, str]]:
    """From Linux's own table; empty elsewhere."""
    table = Path("/proc/self/mounts")
    if not table.exists():
        return []
    lines = [line.split() for line in table.read_text(errors="replace").splitlines()]
    return [(line[1].replace("\\040", " "), line[2]) for line in lines if len(line) > 2]


def _memory() -> int | None:
    table = Path("/proc/meminfo")
    if not table.exists():
        return None
    for line in table.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None
