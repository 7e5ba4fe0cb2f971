"""What is wrong with a graph is said at once, all of it, with its place and what to do."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends import Graph, GraphError, Retry, saga, step
from amends.dialects.graph import Problem
from amends.dialects.graph.sources import MAX_CHARACTERS

ORDER = {"number": "string", "cents?": "integer", "note?": "string"}
PAY = {"step": "shop.charge", "with": {"order": "order"}}


def graph(nodes: Any, **more: Any) -> Graph:
    return Graph._of({"graph": "shop.order", "inputs": {"order": ORDER}, "nodes": nodes, **more}, _none())


def _none() -> Any:
    from amends.dialects.graph.problems import Problems

    return Problems()


def said(nodes: Any, **more: Any) -> list[str]:
    """Each problem as one line: path, message, hint."""
    return [f"{p.path}: {p.message} → {p.hint}" for p in graph(nodes, **more).problems()]


def v(**more: Any) -> dict[str, Any]:
    return {"value": 1, **more}


TEACHING = [
    # names
    ({"a": {"step": "shop.chargee", "with": {}}}, "nodes.a.step: no step named 'shop.chargee'", "did you mean 'shop.charge'"),
    ({"a": {"saga": "shop.gift"}}, "nodes.a.saga: no saga named 'shop.gift'", "give it to Engine"),
    ({"a": v(after=["c"]), "b": v()}, "nodes.a.after[0]: there is no node 'c' beside this one", "known: b"),
    ({"a": v(after="b")}, "nodes.a.after: expected `array`, got `str`", ""),
    ({"order": v()}, "nodes.order: an input has the name 'order' already", "unique"),
    ({"a": v(), "b": {"try": {"nodes": {"a": v()}}}}, "nodes.b.try.nodes.a: another node has the name 'a' already", "unique"),
    ({"a-b": v()}, "nodes.a-b: 'a-b' cannot be read in expressions", "letters, digits and _"),
    ({"if": v()}, "nodes.if: 'if' has a meaning of its own", "another name"),
    ({"result": v()}, "nodes.result: 'result' has a meaning of its own", "another name"),
    # what a node is
    ({"a": 5}, "nodes.a: a node is an object, got a number", "{step: shop.charge}"),
    ({"a": {"stepp": "x"}}, "nodes.a: nothing says what the node does", "did you mean 'step'"),
    ({"a": {}}, "nodes.a: nothing says what the node does", "one of step, saga"),
    ({"a": {"sleep": 1, "value": 2}}, "nodes.a: a node does one thing, this one has sleep and value", "two nodes"),
    ({"a": {**PAY, "wen": True}}, "nodes.a.wen: unknown field 'wen'", "did you mean 'when'?"),
    ({"a": {**PAY, "retry": {"attempts": 0}}}, "nodes.a.retry.attempts: expected `int` >= 1", ""),
    ({"a": {**PAY, "timeout": -1}}, "nodes.a.timeout: expected `float` > 0", ""),
    ({"a": {**PAY, "at_once": 2}}, "nodes.a.at_once: at_once limits `each`, which is not there", ""),
    ({"a": {"try": 1}}, "nodes.a.try: expected an object with nodes", ""),
    ({"a": {"try": {"nodes": {}}}}, "nodes.a.try: 'a' tries nothing", ""),
    ({"a": {"pivot": False}}, "nodes.a.pivot: ", ""),
    # order
    ({"a": v(after=["b"]), "b": v(after=["c"]), "c": {"value": "a"}}, "nodes.a: these nodes wait for each other: a → b → c → a", "by reading"),
    ({"a": {"value": "a"}}, "nodes.a: these nodes wait for each other: a → a", ""),
    ({"a": v(when=False)}, "nodes.a.when: 'a' is never reached: its condition is always false", ""),
    ({"a": v(when="false")}, "nodes.a.when: 'a' is never reached", ""),
    ({"f": {"fail": "'x'"}, "a": v(after=["f"])}, "nodes.a: 'a' is never reached: 'f' always fails", "`when`"),
    # the pivot
    ({"p": {"pivot": True}, "a": v()}, "nodes.p: the pivot 'p' needs all else at rest, and 'a' may run beside it", "`after: [p]`"),
    ({"p": {"pivot": True}, "q": {"pivot": True, "after": ["p"]}}, "nodes.q: two pivots on one path: 'p' comes before 'q'", ""),
    ({"p": {"pivot": True}, "q": {"pivot": True}}, "nodes.p: the pivot 'p' needs all else at rest, and 'q'", ""),
    ({"a": {"try": {"nodes": {"p": {"pivot": True}}}}}, "nodes.a.try.nodes.p: the pivot stands inside the savepoint 'a'", "after the `try`"),
    ({"p": {"pivot": True}, "f": {"fail": "'x'", "after": ["p"], "when": "order.cents > 1"}}, "nodes.f: 'f' fails after the pivot 'p'", "before"),
    # arguments
    ({"a": {"step": "shop.charge"}}, "nodes.a.with: shop.charge(order, cents) needs the argument 'order'", "with: {order: …}"),
    ({"a": {**PAY, "with": {"order": "order", "cent": 1}}}, "nodes.a.with.cent: shop.charge(order, cents) has no parameter 'cent'", "did you mean 'cents'?"),
    ({"a": {**PAY, "with": {"order": "order", "bank": 1}}}, "nodes.a.with.bank: 'bank' of shop.charge is a resource", "leave it out"),
    ({"a": {**PAY, "with": {"order": 5}}}, "nodes.a.with.order: 'order' of shop.charge: expected object with", ""),
    ({"a": {**PAY, "with": {"order": {"cents": 1}}}}, "the field 'number' is missing", ""),
    ({"a": {**PAY, "with": {"order": {"number": "order.cents"}}}}, "in the field 'number': expected string, got integer", ""),
    ({"a": {**PAY, "with": {"order": "order", "cents": "order.number"}}}, "'cents' of shop.charge: expected integer, got string", ""),
    # types
    ({"a": v(when="order.number")}, "nodes.a.when: expected boolean, got string", ""),
    ({"a": {"sleep": "order.number"}}, "nodes.a.sleep: expected number, got string", ""),
    ({"a": {"fail": "order.cents", "when": "true"}}, "nodes.a.fail: expected string, got integer", ""),
    ({"a": {**PAY, "each": "order"}}, "nodes.a.each: expected list, got object", ""),
    ({"a": PAY, "b": {"value": "a.id"}}, "nodes.b.value: string has no field 'id'", ""),
    ({"a": {"signal": "s", "type": "strin"}}, "nodes.a.type: 'strin' is no type", "did you mean 'string'?"),
    ({"a": {"signal": "s", "otherwise": 1}}, "nodes.a.otherwise: `otherwise` is for a timeout", ""),
    # expressions
    ({"a": {"value": "item"}}, "nodes.a.value: unknown name 'item'", "text stands in quotes: 'item'"),
    ({"a": {"value": {"b": ["1 +"]}}}, "nodes.a.value.b[0]: expected a value, found the end", ""),
    ({"a": {"value": 2**64}}, "nodes.a.value: the integer has more than 64 bits", "text"),
    # undo
    ({"a": {**PAY, "undo": {"step": "shop.nothing"}}}, "nodes.a.undo.step: no step named 'shop.nothing'", ""),
    ({"a": {**PAY, "undo": {"step": "shop.unreserve"}}}, "nodes.a.undo.with: shop.unreserve(stock, sku) needs the argument 'sku'", ""),
    ({"a": {**PAY, "undo": {"step": "shop.unreserve", "with": {"stock": "null", "sku": "payment"}}}}, "nodes.a.undo.with.sku: unknown name 'payment'", ""),
    ({"a": {**PAY, "undo": True}}, "nodes.a.undo: ", ""),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "message", "hint"), TEACHING)
def test_it_teaches(nodes: Any, message: str, hint: str) -> None:
    found = said(nodes)
    assert any(message in line and hint in line for line in found), found


GOOD: list[Any] = [
    {},
    {"a": PAY},
    {"a": PAY, "p": {"pivot": True, "after": ["a"]}, "b": v(after=["p"])},
    {"a": {**PAY, "undo": False}},
    {"a": {"step": "shop.reserve", "with": {"sku": "order.number", "count": 1}, "undo": {"step": "shop.unreserve"}}},
    {"a": {**PAY, "each": "[order]", "with": {"order": "item", "cents": "index"}}},
    {"a": {"try": {"nodes": {"b": PAY}, "result": "b"}, "otherwise": {"result": "error.message"}}, "c": {"value": "upper(a)"}},
    {"a": {"signal": "s", "type": {"yes": "boolean"}}, "b": {"value": "not a.yes"}},
    {"a": PAY, "b": {"try": {"nodes": {"c": {"value": "concat(a, order.number)"}}}}},
    {"a": v(when="order.cents > 1"), "b": {"value": "coalesce(a, 0) + 1"}},
]  # fmt: skip


@pytest.mark.parametrize("nodes", GOOD)
def test_what_is_good_passes(nodes: Any) -> None:
    assert said(nodes) == []


def test_all_of_it_is_said_at_once() -> None:
    wrong = graph({"a": {**PAY, "wen": 1, "after": ["z"]}, "b": {"value": "ordr"}}, result="zz", inputz={})
    with pytest.raises(GraphError, match="5 problems") as caught:
        wrong.saga  # noqa: B018
    assert len(caught.value.problems) == 5
    assert all(isinstance(problem, Problem) for problem in caught.value.problems)
    assert str(caught.value).startswith("the graph 'shop.order' has 5 problems\n")


def test_what_reads_a_broken_node_is_not_blamed() -> None:
    assert len(said({"a": {"stepp": "shop.charge"}, "b": {"value": "a.id + 1"}}, result="b")) == 1


def test_several_versions_of_a_nested_saga() -> None:
    for version in ("1", "2"):

        @saga(name="shop.gift", version=version)
        async def gift() -> str:
            return "gift"

    assert "has the versions '1', '2'" in said({"a": {"saga": "shop.gift"}})[0]
    assert said({"a": {"saga": "shop.gift", "version": "2"}}) == []


def test_a_nested_graph_with_a_pivot_counts_as_one() -> None:
    Graph("shop.inner").pivot("go").saga  # noqa: B018
    assert "the pivot 'a' needs all else at rest, and 'b'" in said({"a": {"saga": "shop.inner"}, "b": v()})[0]


def test_a_method_cannot_have_another_undo() -> None:
    class Shop:
        @step(name="shop.method")
        async def method(self) -> None:
            return None

    assert "is a method" in said({"a": {"step": "shop.method", "undo": {"step": "shop.method"}}})[0]


# ---------------------------------------------------------------- Python


def test_a_name_given_twice_is_found() -> None:
    twice = Graph("shop.order").value("a", 1).value("a", 2)
    assert [p.message for p in twice.problems()] == ["the name 'a' is given twice"]


def test_a_built_graph_is_closed() -> None:
    built = Graph("shop.order").value("a", 1)
    built.saga  # noqa: B018
    with pytest.raises(GraphError.__mro__[1], match="built and cannot change"):
        built.value("b", 1)


def test_what_a_graph_cannot_say_is_refused() -> None:
    with pytest.raises(GraphError.__mro__[1], match="which exceptions"):
        Graph("shop.order").step("a", "shop.charge", retry=Retry(never=(KeyError,)))
    with pytest.raises(GraphError.__mro__[1], match="undo=True"):
        Graph("shop.order").step("a", "shop.charge", undo=True)


# ---------------------------------------------------------------- places in texts

YAML = """\
# an order
graph: shop.order
inputs:
  order: {number: string}
nodes:
  pay:
    step: shop.charge
    with: {order: ordr}
    timeout: soon
  name:
    value: "order.numbr"
    after: [pay, pya]
  pay: {sleep: 1}
  long:
    value: >-
      order.number +
      1
result: pay +
"""


def places(found: tuple[Problem, ...]) -> list[tuple[int, int, str]]:
    return [(p.line, p.column, p.path) for p in found]


def test_places_in_yaml() -> None:
    assert places(Graph.from_yaml(YAML).problems()) == [
        (11, 19, "nodes.name.value"),
        (12, 18, "nodes.name.after[1]"),
        (13, 3, "nodes.pay"),
        (15, 12, "nodes.long.value"),
        (18, 14, "result"),
    ]


def test_places_in_json() -> None:
    text = """{
  "graph": "shop.order", "nodes": {
    "a": {"value": "1 + zz"},
    "b": {"value": "\\u0031 +", "after": ["a",
       "c"]},
    "a": {"sleep": -1}
  }
}"""
    found = Graph.from_json(text).problems()
    assert places(found) == [
        (4, 21, "nodes.b.value"),
        (5, 9, "nodes.b.after[1]"),
        (6, 5, "nodes.a"),
        (6, 20, "nodes.a.sleep"),
    ]
    assert "stands here twice" in str(found[2])


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("", 1, 1, "expecting value"),
        ("[1,]", 1, 4, "nothing follows the comma"),
        ('{"a" 1}', 1, 6, "expected a colon"),
        ('{"a": 1\n "b": 2}', 2, 2, "expected a comma"),
        ("{a: 1}", 1, 2, "in double quotes"),
        ('{"a": NaN}', 1, 7, "NaN is no JSON"),
        ('{"a": "x}', 1, 7, "unterminated string"),
        ("{} {}", 1, 4, "expected the end"),
        ("[" * 100, 1, 66, "nested more than"),
        (" " * (MAX_CHARACTERS + 1), 1, 1, "characters"),
    ],
)
def test_what_is_no_json(text: str, line: int, column: int, said: str) -> None:
    with pytest.raises(GraphError) as caught:
        Graph.from_json(text, source="order.json")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (line, column)
    assert said in problem.message
    assert "in order.json" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "1:5"),
        ("a: b: c", "mapping values are not allowed"),
        ("a: &x {b: 1}\nc: *x", "anchors and aliases"),
        ("a: !!python/object:os.system x", "the tag"),
        ("a: !!binary aGk=", "the tag"),
        ("<<: {a: 1}", "plain text"),
        ("a: .nan", "no float that JSON can carry"),
        ("? [1]\n: 2", "plain text"),
        ("[" * 100 + "]" * 100, "nested more than"),
        ("a: 1\n---\nb: 2", "no YAML"),
    ],
)
def test_what_is_no_yaml(text: str, said: str) -> None:
    with pytest.raises(GraphError) as caught:
        Graph.from_yaml(text)
    assert said in str(caught.value)


def test_yaml_is_that_of_today() -> None:
    made = Graph.from_yaml(
        "graph: g\nnodes:\n  a: {value: [0o17, 0x1F, 012, 1_0, yes, 2024-01-01, ~, True, 1e2]}\n"
    )
    value: Any = made.document.nodes["a"].value
    assert value == [15, 31, 12, 10, "yes", "2024-01-01", None, True, 100.0] or value[:3] == [15, 31, 12]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruamel.yaml", None)
    with pytest.raises(GraphError, match=r"pip install 'amends\[yaml\]'"):
        Graph.from_yaml("graph: g")


def test_files(tmp_path: Any) -> None:
    for name, text in (("a.json", '{"graph": "g"}'), ("a.yaml", "graph: g"), ("a.yml", "graph: g")):
        (tmp_path / name).write_text(text)
        assert Graph.load(tmp_path / name) == Graph("g")
    (tmp_path / "b.json").write_bytes(b"\xff")
    with pytest.raises(GraphError, match="not in UTF-8"):
        Graph.load(tmp_path / "b.json")
    with pytest.raises(GraphError, match="no graph by its name"):
        Graph.load(tmp_path / "a.txt")


# ---------------------------------------------------------------- whatever comes in

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
words = st.sampled_from(
    ["graph", "nodes", "inputs", "result", "a", "b", "step", "saga", "signal", "sleep", "value", "fail", "pivot", "try",
     "otherwise", "after", "when", "with", "each", "at_once", "retry", "undo", "timeout", "shop.charge", "order", "string"]
)  # fmt: skip
data = st.recursive(
    scalars | words,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=25,
)
documents = data | st.fixed_dictionaries(
    {
        "graph": words,
        "nodes": st.dictionaries(words, st.dictionaries(words, data, max_size=4), max_size=4),
        "result": data,
    }
)


@settings(max_examples=400)
@given(documents)
def test_problems_never_raise(given_: Any) -> None:
    made = Graph._of(given_, _none())
    assert made.problems() == made.problems()


@settings(max_examples=300)
@given(
    st.text(max_size=60)
    | st.lists(words | st.sampled_from([":", "\n", " ", "{", "}", "[", "]", ",", '"', "- "])).map("".join)
)
def test_texts_raise_only_graph_errors(text: str) -> None:
    for read in (Graph.from_json, Graph.from_yaml):
        try:
            read(text).problems()
        except GraphError as error:
            assert error.problems
