"""The expression language: values, errors with their columns, and that nothing but its own error ever comes out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.dialects.graph.expression import (
    FUEL,
    MAX_DEPTH,
    MAX_TEXT,
    evaluate,
    infer,
    names,
    parse,
    shape_from,
)
from amends.dialects.graph.expression.functions import FUNCTIONS, MAX_STRING
from amends.dialects.graph.expression.syntax import parts
from amends.errors import ExpressionError

ORDER = {
    "number": "7",
    "cents": 1250,
    "paid": True,
    "note": None,
    "from": "web",
    "odd name": 1,
    "lines": [{"sku": "a", "price": 2}, {"sku": "b", "price": 0.5}],
}


def value(text: str, **environment: Any) -> Any:
    return evaluate(parse(text), environment or {"order": ORDER}, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 - 2 - 1", 4),
        ("- 2 + 5", 3),
        ("7 / 2", 3.5),
        ("7 // 2", 3),
        ("-7 % 3", 2),
        ("1e3", 1000.0),
        (r'''"it\'s " + "\u00e9"''', "it's é"),
        ("[1, 2] + [3]", [1, 2, 3]),
        ("{a: 1, 'b c': [2]}", {"a": 1, "b c": [2]}),
        ("order.lines[0].price", 2),
        ("order.lines[-1].sku", "b"),
        ("order['odd name']", 1),
        ("order.from", "web"),
        ("order.note.deeper.still", None),
        ("order.note[0]", None),
        ("order.cents > 1000 and order.paid", True),
        ("not order.paid or false", False),
        ("false and order.nothing", False),
        ("'a' if order.cents < 5 else 'b' if true else 'c'", "b"),
        ("1 == 1.0", True),
        ("true == 1", False),
        ("[true, {a: null}] == [true, {a: null}]", True),
        ("[1] == [true]", False),
        ("'1' == 1", False),
        ("'web' in order.from", True),
        ("'sku' in order.lines[0]", True),
        ("3 not in [1, 2]", True),
        ("1 in null", False),
        ("'b' > 'a' and 2 >= 2 and 2 <= 2 and 1 != 2", True),
        ("len(order.lines) + len('abc') + len({a: 1})", 6),
        ("coalesce(order.nothing, order.note, 'x')", "x"),
        ("coalesce(order.note)", None),
        ("has(order.lines[5])", False),
        ("has(order.cents)", True),
        ("concat('n', 1, true, null, [1])", "n1truenull[1]"),
        ("format('{} of {}', 1, order.number)", "1 of 7"),
        ("min(3, 1, 2) + max([3, 1])", 4),
        ("max('a', 'b')", "b"),
        ("sum(pluck(order.lines, 'price'))", 2.5),
        ("sum([])", 0),
        ("join(pluck(order.lines, 'sku'), '/')", "a/b"),
        ("contains(order.lines, {price: 2, sku: 'a'})", True),
        ("keys({b: 1, a: 2})", ["a", "b"]),
        ("round(2.567, 1)", 2.6),
        ("round(2.5)", 2),
        ("number('12') + number(' 2.5 ')", 14.5),
        ("upper('a') + lower('B') + text(1.5)", "Ab1.5"),
        ("abs(-3)", 3),
    ],
)
def test_values(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_every_function_is_tested() -> None:
    tested = {case for mark in test_values.pytestmark for case, _ in mark.args[1]}
    assert [name for name in FUNCTIONS if not any(f"{name}(" in text for text in tested)] == []


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("", 1, "the expression is empty"),
        ("1 +", 4, "expected a value, found the end"),
        ("(1", 3, "expected `)` for the bracket in column 1"),
        ("1 < 2 < 3", 7, "comparisons are not chained"),
        ("two words", 5, "text is written in quotes"),
        ("a && b", 3, "write `and`"),
        ("a = b", 3, "compare with `==`"),
        ("'open", 1, "this text has no end"),
        (r"'a\q'", 3, r"\q is no escape"),
        (r"'\ud800'", 1, "surrogate"),
        ("order.", 7, "expected a name after `.`"),
        ("order.lines()", 12, "only functions can be called"),
        ("{a: 1, a: 2}", 8, "stands here twice"),
        ("{1: 2}", 2, "expected the name of a field"),
        ("99999999999999999999", 1, "more than 64 bits"),
        ("1e999", 1, "too large"),
        ("x if y", 7, "expected `else`"),
        ("else", 1, "found the word `else`"),
        ("[1, 2", 6, "expected `]`"),
        ("a[0", 4, "expected `]` after the index"),
        ("1 if 2", 7, "expected `else`"),
    ],
)
def test_what_cannot_be_read(text: str, column: int, said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("ordr.cents", 1, "did you mean 'order'?"),
        ("order.cent", 7, "did you mean 'cents'?"),
        ("1 + lenn('a')", 5, "did you mean 'len'?"),
        ("1 + 'a'", 3, "`+` cannot take the number 1 and the text 'a'"),
        ("'a' * 3", 5, "cannot take"),
        ("[1] < [2]", 5, "cannot take"),
        ("order.paid + 1", 12, "cannot take true"),
        ("order and true", 1, "`and` needs true or false, got an object"),
        ("not 1", 5, "`not` needs true or false"),
        ("-'a'", 1, "`-` needs a number"),
        ("1 / 0", 3, "division by zero"),
        ("9223372036854775807 + 1", 21, "more than 64 bits"),
        ("1e308 * 10", 7, "too large"),
        ("order.lines.sku", 13, "pluck(lines, 'field')"),
        ("order.lines[2]", 12, "there is no item 2, the list has 2"),
        ("order.lines['a']", 12, "has no field"),
        ("order.cents[0]", 12, "has no item"),
        ("len(1, 2)", 1, "len takes 1 argument, got 2"),
        ("len(null)", 1, "null has no length"),
        ("format('{}')", 1, "has 1 places"),
        ("min([])", 1, "min of an empty list"),
        ("min(1, 'a')", 1, "min needs numbers, or texts"),
        ("sum(['a'])", 1, "sum needs numbers, got the text 'a'"),
        ("number('1_0')", 1, "is no number"),
        ("number('inf')", 1, "is no number"),
        ("upper(1)", 1, "argument 1 of upper must be a string, got the number 1"),
        ("pluck([1], 'a')", 1, "pluck needs a list of objects"),
        ("1 in 2", 3, "contains nothing"),
        ("round(1, 99)", 1, "0 to 15 digits"),
    ],
)
def test_what_has_no_value(text: str, column: int, said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        value(text)
    assert said in str(caught.value)
    assert caught.value.column == column


def test_an_error_shows_the_place() -> None:
    with pytest.raises(ExpressionError) as caught:
        value("order.cents > 10 and\n  order.pad")
    assert str(caught.value) == (
        "there is no field 'pad' (column 30)\n      order.pad\n            ^\n  → did you mean 'paid'?"
    )


# ---------------------------------------------------------------- bounds


def test_text_and_depth_are_bounded() -> None:
    for text in ("1" * (MAX_TEXT + 1), "(" * 500 + "1" + ")" * 500, "-" * 500 + "1", "not " * 400 + "true",
                 "+".join(["1"] * 200), "a" + ".b" * 200, "[" * 200, "x if y else " * 100 + "z"):  # fmt: skip
        with pytest.raises(ExpressionError, match=r"long|deep"):
            parse(text)
    assert value("(" * (MAX_DEPTH - 2) + "1" + ")" * (MAX_DEPTH - 2)) == 1


def test_fuel_is_bounded() -> None:
    many = list(range(FUEL // 4))
    with pytest.raises(ExpressionError, match="too many steps"):
        value("[" + ", ".join(["a == b"] * 9) + "]", a=many, b=list(many))
    assert value("a == b", a=many, b=list(many)) is True


def test_results_are_bounded() -> None:
    with pytest.raises(ExpressionError, match="larger than"):
        value("[" + ", ".join(["a"] * 300) + "]", a=list(range(10_000)))
    with pytest.raises(ExpressionError, match="allowed are"):
        value("concat(" + ", ".join(["a"] * 20) + ")", a="x" * (MAX_STRING // 10))
    with pytest.raises(ExpressionError):
        value("a + a", a="x" * FUEL * 8)


# ---------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("text", "shape", "said"),
    [
        ("order.cents + 1", "integer", []),
        ("order.cents / 2", "number", []),
        ("order.lines[0].price > 2", "boolean", []),
        ("[1, 2.5]", "list of number", []),
        ("null if order.paid else 'x'", "string or null", []),
        ("coalesce(order.note, 'x')", "string", []),
        ("{a: order.number}", "object with a", []),
        ("order.anything.goes", "any", ["there is no field 'anything'"]),
        ("order.cents + order.number", "any", ["`+` cannot take integer and string"]),
        ("order.cents == order.number", "boolean", ["which are never equal"]),
        ("order.number and true", "boolean", ["`and`: expected boolean, got string"]),
        ("len(order.lines, 1) + nothing", "any", ["len takes 1 argument, got 2", "unknown name 'nothing'"]),
        ("order.lines.price", "any", ["a list has no field 'price'"]),
        ("order.lines['a']", "any", ["a list has no field 'a'"]),
        ("order.lines[order.number]", "object with sku, price", ["the index: expected integer, got string"]),
        ("upper(order.cents)", "string", ["argument 1 of upper: expected string, got integer"]),
        ("True", "any", ["unknown name 'True'"]),
        ("maybe.inner", "string or null", []),
    ],
)
def test_types(text: str, shape: str, said: list[str]) -> None:
    order = shape_from(
        {"number": "string", "cents": "integer", "paid": "boolean", "note?": "string",
         "lines": [{"sku": "string", "price": "number"}]}
    )  # fmt: skip
    known = {"order": order, "maybe": shape_from({"inner": "string"}).or_null()}
    found, problems = infer(parse(text), known, text)
    assert str(found) == shape
    assert len(problems) == len(said)
    for problem, part in zip(problems, said, strict=True):
        assert part in problem.reason


def test_names_are_those_of_the_environment() -> None:
    assert set(names(parse("a.b[c] + f({d: a}.e) if not g else len('h')"))) == {"a", "c", "g"}


# ---------------------------------------------------------------- whatever comes in

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c d"]), inner, max_size=3)
    ),
    max_leaves=8,
)
environments = st.fixed_dictionaries({"a": json_values, "b": json_values, "c": json_values})
words = st.sampled_from(
    ["a", "b", "c", "zz", ".", ".a", "[", "]", "(", ")", "{", "}", ",", ":", "+", "-", "*", "/", "//", "%", "==", "!=",
     "<", "<=", ">", ">=", "in", "not", "and", "or", "if", "else", "true", "false", "null", "0", "1", "2.5", "1e300",
     "9223372036854775807", "'x'", '"y"', "''", *(f"{name}(" for name in FUNCTIONS), " ", "\n"]
)  # fmt: skip
leaves = st.sampled_from(
    ["a", "b", "c", "1", "0", "2.5", "'x'", "'{}'", "true", "null", "[]", "9223372036854775807"]
)


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions that can be read: larger ones from smaller ones."""
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%", "==", "<", ">=", "in", "not in", "and", "or"])
    arguments = st.lists(inner, min_size=1, max_size=3).map(", ".join)
    return st.one_of(
        st.tuples(inner, operators, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(sorted(FUNCTIONS)), arguments).map(lambda t: f"{t[0]}({t[1]})"),
        inner.map(lambda x: f"{x}.a"),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        inner.map(lambda x: f"(not {x})"),
        inner.map(lambda x: f"(-{x})"),
        arguments.map(lambda x: f"[{x}]"),
        inner.map(lambda x: f"{{a: {x}}}"),
    )


texts = (
    st.text(max_size=40)
    | st.lists(words, max_size=25).map(" ".join)
    | st.recursive(leaves, grown, max_leaves=8)
)


def outcome(text: str, environment: dict[str, Any]) -> Any:
    try:
        tree = parse(text)
        infer(tree, {name: shape_from("any") for name in environment}, text)
        assert len(list(parts(tree))) <= len(text)
        return "value", repr(evaluate(tree, environment, text))
    except ExpressionError as error:
        assert 1 <= error.column <= len(text) + 1
        assert error.reason
        return "error", str(error)


@settings(max_examples=1000)
@given(texts, environments)
def test_nothing_but_its_own_error_comes_out(text: str, environment: dict[str, Any]) -> None:
    assert outcome(text, environment) == outcome(text, environment)


@settings(max_examples=300)
@given(st.recursive(leaves, grown, max_leaves=10), environments)
def test_what_the_types_allow_to_be_boolean_is_boolean(text: str, environment: dict[str, Any]) -> None:
    """The shape that is inferred without knowing the values is that of the value, if there is one."""
    shape, _ = infer(parse(text), {name: shape_from("any") for name in environment}, text)
    try:
        found = evaluate(parse(text), environment, text)
    except ExpressionError:
        return
    kinds = {
        "boolean": bool,
        "string": str,
        "integer": int,
        "number": (int, float),
        "list": list,
        "object": dict,
    }
    if shape.kind in kinds and found is not None:
        assert isinstance(found, kinds[shape.kind])  # type: ignore[arg-type]
