"""The disk that the simulation cuts off."""

from __future__ import annotations

from pathlib import Path

import apsw

from .disks import template


def test_a_new_database_has_its_schema_without_a_log(tmp_path: Path) -> None:
    """Else each run would make it anew, and a cut could take it away."""
    made = template(tmp_path)
    assert not Path(f"{made}-wal").exists()
    connection = apsw.Connection(str(made), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.table_exists("main", "amends_journal")
    connection.close()
