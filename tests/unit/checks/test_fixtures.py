"""Every fixture gives exactly what its comments say: no miss, no false positive, in both modes."""

from __future__ import annotations

from pathlib import Path

import pytest

from amends.checks import RULES, Config, examine
from tests.unit.checks.expected import FIXTURES, expected, fixtures, found

WRONG, RIGHT = fixtures("wrong"), fixtures("right")


def name(path: Path) -> str:
    return path.relative_to(FIXTURES).with_suffix("").as_posix()


@pytest.mark.parametrize("load", [True, False], ids=["imported", "source"])
@pytest.mark.parametrize("path", [*WRONG, *RIGHT], ids=name)
def test_fixture(path: Path, load: bool) -> None:
    report = examine([str(path)], Config(load=load))
    assert report.problems == []
    assert found(report.findings) == expected(path, loaded=load)


def test_all_of_them_at_once() -> None:
    report = examine([str(FIXTURES)])
    assert report.problems == []
    assert found(report.findings) == expected(FIXTURES)


def test_there_are_enough_of_them() -> None:
    assert len([path for path in WRONG if expected(path)]) >= 20
    assert len(RIGHT) >= 20
    assert not any(expected(path) for path in RIGHT)


def test_every_rule_is_expected_somewhere() -> None:
    said = {code for path in WRONG for _, _, code in expected(path)}
    assert set(RULES) - said == set()


@pytest.mark.parametrize("code", RULES)
def test_without_a_rule_its_findings_are_missed(code: str) -> None:
    """The comparison above can fail: it does when a rule is switched off."""
    path = next(path for path in WRONG if any(code == each for _, _, each in expected(path)))
    report = examine([str(path)], Config(ignore=(code,)))
    assert found(report.findings) != expected(path)
