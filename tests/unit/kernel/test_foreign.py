"""What refusals say: what was used, whose line it was, what to do instead."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

from amends.errors import ForeignCall
from amends.kernel import foreign
from amends.kernel.loop import SagaLoop


def test_a_task_made_by_its_class_is_named_and_so_is_the_way_to_make_one() -> None:
    error = foreign.homemade_task()
    assert str(error).startswith("a task made by its class cannot be replayed, so saga code may not use it\n")
    assert error.hint == "make tasks with asyncio.create_task() or a TaskGroup"


@pytest.mark.parametrize("name", ["stop", "call_soon_threadsafe", "sock_accept", "getaddrinfo"])
def test_a_refusal_names_the_method_and_comes_when_it_would_have_answered(name: str) -> None:
    refuse: Any = getattr(SagaLoop, name)
    awaited = inspect.iscoroutinefunction(getattr(asyncio.AbstractEventLoop, name))
    assert inspect.iscoroutinefunction(refuse) is awaited
    with pytest.raises(ForeignCall, match=rf"^loop\.{name}\(\) cannot be replayed") as caught:
        refuse(None).send(None) if awaited else refuse(None)
    assert "right:  " in str(caught.value)


@pytest.mark.parametrize(
    ("file", "whose"),
    [
        ("C:\\shop\\Lib\\site-packages\\client.py", "other"),
        ("/usr/lib/python3/dist-packages/client.py", "other"),
        ("/shop/sagas.py", "own"),
        ("<string>", "ours"),
        ("<frozen importlib._bootstrap>", "ours"),
    ],
)
def test_whose_code_a_file_holds(file: str, whose: str) -> None:
    assert foreign._kind(file) == whose


def foreign_future(text: str = "got Future attached to a different loop") -> RuntimeError:
    return RuntimeError(text)


def test_a_foreign_future_is_explained_with_its_cause_and_nothing_else_is() -> None:
    error = foreign_future()
    better = foreign.explained(error)
    assert isinstance(better, ForeignCall)
    hint = "a result from outside comes as a signal, or from a step that waits for it"
    told = "a future of another event loop cannot be replayed, so saga code may not use it"
    assert str(better) == f"{told}\n  → {hint}"
    assert better.hint == hint
    assert better.__cause__ is error
    for other in (foreign_future("out of luck"), ValueError("attached to a different loop")):
        assert foreign.explained(other) is other


def test_without_a_line_of_the_users_own_the_nearest_of_a_library_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = []
    for name in ("near", "far"):
        file = tmp_path / "site-packages" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"def {name}(then):\n    return then()  # {name}\n")
        space: dict[str, Any] = {}
        exec(compile(file.read_text(), str(file), "exec"), space)
        lines.append((f"{file}:2", f"return then()  # {name}", space[name]))
    monkeypatch.setattr(foreign, "_kind", lambda file: "other" if str(tmp_path) in file else "ours")
    near, far = lines
    assert far[2](lambda: near[2](foreign._line_of_caller)) == near[:2]


def test_without_any_line_none_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "_kind", lambda file: "ours")
    shown = "this cannot be replayed, so saga code may not use it\n  → do that"
    assert str(foreign.teach("this", "do that")) == shown
