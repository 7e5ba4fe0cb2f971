"""Workers forked out of one process that has imported everything: another life costs no imports.

``python -m tests.acceptance.kennel FOLDER`` takes orders on its input, one JSON object a line: `{"out", "log",
"settings"}` starts a worker and answers with its pid, `{"wait": pid}` answers with its exit code, or null while it
runs.  Its workers end when it does.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .book import Book
from .processes import ROOT
from .worker import follow_parent, serve


class Forked:
    """One worker, with as much of `subprocess.Popen` as `Process` needs."""

    stdin = None

    def __init__(self, kennel: Kennel, pid: int) -> None:
        self.pid = pid
        self._kennel = kennel
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._kennel.ask({"wait": self.pid})
        return self.returncode

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline, f"worker {self.pid} does not end"
            time.sleep(0.005)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Kennel:
    """The process that forks them."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.acceptance.kennel", str(folder)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, out: Path, log: Path, settings: dict[str, Any]) -> Forked:
        return Forked(self, self.ask({"out": str(out), "log": str(log), "settings": settings}))

    def ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


class Doubts(logging.Handler):
    """Marks in the book when this worker gives up all it owns: a reason to do things again, as a kill is."""

    def __init__(self, book: Book) -> None:
        super().__init__()
        self.book = book

    def emit(self, record: logging.LogRecord) -> None:
        if "ownership is in doubt" in record.getMessage():
            self.book.mark("doubt", os.getpid())


def _worker(folder: Path, order: dict[str, Any], lifeline: int) -> None:
    """In the forked process. Its input is the lifeline: it ends with the kennel."""
    os.dup2(lifeline, 0)
    for path, number in ((order["out"], 1), (order["log"], 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    form = "%(asctime)s %(process)d %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stderr)
    logging.getLogger("amends.engine").addHandler(Doubts(Book(folder)))
    threading.Thread(target=follow_parent, daemon=True).start()
    settings = order["settings"]
    settings["store"] = f"{settings.get('store', '')}&application_name=w{os.getpid()}".lstrip("&")
    asyncio.run(serve(folder, settings))


def main(folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lifeline, held = os.pipe()
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            pid, status = os.waitpid(order["wait"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif not (answer := os.fork()):
            os.close(held)
            code = 1
            try:
                _worker(folder, order, lifeline)
                code = 0
            except BaseException:
                logging.getLogger("kennel").exception("the worker failed")
            finally:
                os._exit(code)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
