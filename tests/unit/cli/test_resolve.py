"""Which store, which module: who decides, and what is said when it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from amends.cli import apps, resolve
from amends.cli.exits import Problem
from amends.errors import StoreError
from tests.unit.cli import shop
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]


def project(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)


def test_the_option_comes_before_the_environment_before_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve.place(None).url == "sqlite:///amends.db"
    project(tmp_path, '[tool.amends]\nstore = "sqlite:///p.db"\n')
    assert resolve.place(None).url == f"sqlite:///{tmp_path}/p.db"
    monkeypatch.setenv("AMENDS_STORE", "sqlite:///e.db")
    assert resolve.place(None).url == "sqlite:///e.db"
    assert resolve.place("sqlite:///o.db") == resolve.Place("sqlite:///o.db", "--store", typed=True)


def test_a_path_of_the_project_counts_from_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, '[tool.amends]\nstore = "sqlite:///data/p.db?synchronous=NORMAL"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    place = resolve.place(None)
    assert place.url == f"sqlite:///{tmp_path}/data/p.db?synchronous=NORMAL"
    assert place.file == tmp_path / "data" / "p.db"
    assert place.said_by == str(tmp_path / "pyproject.toml")


def test_a_project_without_the_table_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, '[tool.amends]\napp = "outer"\n')
    project(tmp_path / "inner", '[project]\nname = "x"\n')
    monkeypatch.chdir(tmp_path / "inner")
    assert resolve.settings().app == "outer"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[tool.amends]\nstor = "x"\n', "did you mean 'store'?"),
        ("[tool.amends]\nstore = 7\n", "store is 7, expected text"),
        ('[tool]\namends = "x"\n', "expected a table"),
        ("[tool.amends\n", "cannot be read"),
    ],
)
def test_a_project_that_is_wrong_says_so(text: str, said: str, tmp_path: Path, amends: Amends) -> None:
    project(tmp_path, text)
    done = amends("list")
    assert done.code == 2
    assert said in done.err


def test_looking_does_not_make_a_store(tmp_path: Path, amends: Amends) -> None:
    assert amends("list").code == 5
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_memory_cannot_be_looked_at(amends: Amends) -> None:
    done = amends("list", "--store", "memory://")
    assert done.code == 5
    assert "ends with one process" in done.err


def test_a_file_that_is_no_store(tmp_path: Path, amends: Amends) -> None:
    (tmp_path / "notes.db").write_text("dear diary " * 100)
    for command in ("list", "doctor"):
        done = amends(command, "--store", "sqlite:///notes.db")
        assert done.code == 5
        assert "is not a SQLite database" in done.err + done.out


def test_a_database_of_another_program_is_left_alone(tmp_path: Path, amends: Amends) -> None:
    file = tmp_path / "theirs.db"
    db = apsw.Connection(str(file))
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = file.read_bytes()
    for command in (["list"], ["show", "x"], ["retry", "x"], ["doctor"]):
        done = amends(*command, "--store", "sqlite:///theirs.db")
        assert done.code == 5
        assert "without a store of amends" in done.err + done.out
    assert file.read_bytes() == before


def test_a_store_may_be_made_beside_the_tables_of_transactional_steps(tmp_path: Path, amends: Amends) -> None:
    shop.write(tmp_path)
    (tmp_path / "empty.db").touch()
    db = apsw.Connection(str(tmp_path / "orders.db"))
    db.execute("CREATE TABLE books (x)")
    assert amends("run", "app:other", "--json").json["result"] == 7
    assert db.table_exists(None, "books")
    db.close()
    assert amends("run", "app:other", "--store", "sqlite:///empty.db").code == 0
    assert amends("list", "--store", "sqlite:///empty.db").code == 0


def test_a_store_that_is_damaged_at_once(order: Callable[[str], Path], amends: Amends) -> None:
    file = order("completed") / "orders.db"
    file.write_bytes(file.read_bytes()[:5000])
    for command in (["list"], ["doctor"]):
        done = amends(*command)
        assert done.code == 5
        assert "is damaged" in done.err + done.out


def test_an_unknown_option_of_the_url(order: Callable[[str], Path], amends: Amends) -> None:
    order("completed")
    done = amends("list", "--store", "sqlite:///orders.db?synchronus=OFF")
    assert done.code == 5
    assert "did you mean 'synchronous'?" in done.err


# ---------------------------------------------------------------- modules


def test_sagas_signals_and_target_are_found(tmp_path: Path) -> None:
    shop.write(tmp_path)
    app = apps.load("app:place_order")
    assert app.saga("app:place_order").name == "shop.place_order"
    assert sorted(app.sagas) == ["other", "place_order", "wrap"]
    assert list(app.signals) == ["approved"]
    assert app.engine is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("ap", "did you mean 'app'?"),
        ("app.py", "write app;"),
        ("app.py:place_order", "write app:place_order;"),
        ("sub/app.py", "write sub.app;"),
        ("app:", "is no module"),
        (":place_order", "is no module"),
        ("app:place_ordr", "did you mean 'place_order'?"),
        ("app.nothing", "there is no module 'app.nothing'"),
        ("broken", "ZeroDivisionError: division by zero (line 3 of"),
        ("needs", "No module named 'not_installed'"),
    ],
)
def test_a_module_that_is_wrong_says_how(spec: str, said: str, tmp_path: Path) -> None:
    shop.write(tmp_path)
    (tmp_path / "broken.py").write_text('"""Doc."""\n\n1 / 0\n')
    (tmp_path / "needs.py").write_text("import not_installed\n")
    with pytest.raises(Problem) as caught:
        apps.load(spec)
    assert said in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("spec", ["app", "app:Order"])
def test_what_is_no_saga_says_which_are(spec: str, tmp_path: Path) -> None:
    shop.write(tmp_path)
    with pytest.raises(Problem) as caught:
        apps.load(spec).saga(spec)
    assert "app:place_order" in caught.value.hint


def test_the_module_may_come_from_the_environment_or_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write(tmp_path)
    assert apps.load(None).name == "app"
    (tmp_path / "second.py").write_text("from app import other")
    monkeypatch.setenv("AMENDS_APP", "second")
    assert apps.load(None).name == "second"
    assert apps.load("app").name == "app"


def test_a_module_in_src_of_the_project_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "below").mkdir()
    (tmp_path / "src" / "inner.py").write_text("from app import other")
    monkeypatch.chdir(tmp_path / "below")
    assert list(apps.load("inner").sagas) == ["other"]


def test_no_module_is_named() -> None:
    assert apps.load_if_named(None) is None
    with pytest.raises(Problem, match="no module is named"):
        apps.load(None)


ENGINE = """
from amends import Engine
from app import place_order
engine = Engine("sqlite:///own.db", sagas=[place_order], namespace="shop")
"""


def test_an_engine_brings_its_own_store(tmp_path: Path, amends: Amends) -> None:
    shop.write(tmp_path)
    (tmp_path / "eng.py").write_text(ENGINE)
    (tmp_path / "pyproject.toml").unlink()
    given = """{"order": {"id": "1", "cents": 1}}"""
    done = amends("run", "eng:place_order", "--args", given, "--id", "o", "--json")
    assert done.code == 0, done
    assert (tmp_path / "own.db").exists()
    assert not (tmp_path / "amends.db").exists()
    found = amends("list", "--store", "sqlite:///own.db", "--namespace", "shop", "--json")
    assert [one["id"] for one in found.lines] == ["o"]
    assert amends("list", "--store", "sqlite:///own.db", "--json").lines == []


def test_an_engine_and_another_store_contradict_each_other(tmp_path: Path, amends: Amends) -> None:
    shop.write(tmp_path)
    (tmp_path / "eng.py").write_text(ENGINE)
    done = amends("worker", "eng", "--store", "sqlite:///other.db")
    assert done.code == 2
    assert "has an engine with its own store" in done.err
    assert not (tmp_path / "other.db").exists()


def test_several_engines_must_be_told_apart(tmp_path: Path) -> None:
    shop.write(tmp_path)
    (tmp_path / "eng.py").write_text(f"{ENGINE}second = Engine(sagas=[place_order])\n")
    with pytest.raises(Problem) as caught:
        apps.load("eng")
    assert caught.value.hint == "eng:engine or eng:second"
    assert apps.load("eng:second").engine is not apps.load("eng:engine").engine


def test_what_is_no_url_is_a_store_error() -> None:
    with pytest.raises(StoreError, match="is not the URL of a store"):
        resolve.place("orders.db")
