"""From text to a tree: tokens, then a parser by precedence. Every part knows its column."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from ....errors import ExpressionError

MAX_TEXT = 2_000
"""Characters of an expression."""

MAX_DEPTH = 64
"""How deep an expression may be nested."""

MAX_INTEGER = 2**63 - 1


class Expr(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an expression: `at` is its column (0 is the first), `depth` how deep it is nested."""

    at: int
    depth: int = 1


class Literal(Expr, frozen=True):
    """A number, text, true, false or null."""

    value: Any


class Name(Expr, frozen=True):
    """A name of the environment."""

    name: str


class Field(Expr, frozen=True):
    """``base.name``"""

    base: Expr
    name: str


class Index(Expr, frozen=True):
    """``base[index]``"""

    base: Expr
    index: Expr


class Unary(Expr, frozen=True):
    """``not operand``, ``-operand``"""

    op: str
    operand: Expr


class Binary(Expr, frozen=True):
    """``left op right``"""

    op: str
    left: Expr
    right: Expr


class Choice(Expr, frozen=True):
    """``yes if condition else no``"""

    condition: Expr
    yes: Expr
    no: Expr


class Call(Expr, frozen=True):
    """``function(arguments)``"""

    function: str
    arguments: tuple[Expr, ...]


class ListOf(Expr, frozen=True):
    """``[a, b]``"""

    items: tuple[Expr, ...]


class ObjectOf(Expr, frozen=True):
    """``{name: a, "other name": b}``"""

    items: tuple[tuple[str, Expr], ...]


class Token(NamedTuple):
    """A word of the text; `kind` is ``number``, ``string``, ``name``, ``op`` or ``end``."""

    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<op>==|!=|<=|>=|//|[-+*/%<>().,:\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "/": "/"}
_CONSTANTS = {"true": True, "false": False, "null": None}
_WORDS = {"and", "or", "not", "in", "if", "else"}
_BINDING = {
    "or": 1, "and": 2, "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4, "in": 4, "not in": 4,
    "+": 5, "-": 5, "*": 6, "/": 6, "//": 6, "%": 6,
}  # fmt: skip
_NOT, _COMPARISON, _NEGATION = 3, 4, 7
_SPELLINGS = {
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`",
    "=": "compare with `==`",
    "?": "write `a if condition else b`",
    ";": "an expression is a single one",
    "$": "names are written without `$`",
    "@": "names are written without `@`",
    "`": "text stands in \" or '",
}


def parse(text: str) -> Expr:
    """The tree of an expression. Raises `ExpressionError` with the column."""
    if len(text) > MAX_TEXT:
        raise ExpressionError(
            text,
            MAX_TEXT,
            f"it is {len(text):,} characters long, allowed are {MAX_TEXT:,}",
            "compute it in a step",
        )
    return _Parser(text).whole()


def parts(tree: Expr) -> Iterator[Expr]:
    """The tree's nodes, outermost first."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in node.__struct_fields__:
            value = getattr(node, name)
            found = value if isinstance(value, tuple) else (value,)
            inner = [item[1] if isinstance(item, tuple) else item for item in found]
            waiting += [item for item in reversed(inner) if isinstance(item, Expr)]


def names(tree: Expr) -> list[str]:
    """The names that the expression reads, each once, in the order of the text."""
    return list(dict.fromkeys(node.name for node in parts(tree) if isinstance(node, Name)))


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            character = text[at]
            if character in "\"'":
                raise ExpressionError(text, at, "this text has no end", f"close it with {character}")
            hint = _SPELLINGS.get(character, "")
            raise ExpressionError(text, at, f"{character!r} means nothing here", hint)
        if match.lastgroup != "space":
            yield Token(match.lastgroup or "", match[0], at)
        at = match.end()
    yield Token("end", "", len(text))


class _Words:
    """The tokens, one after the other, and how deep the parser is in them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.place = 0
        self.nesting = 0

    def fail(self, token: Token, message: str, hint: str = "") -> ExpressionError:
        return ExpressionError(self.text, token.at, message, hint)

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def take(self) -> Token:
        token = self.tokens[self.place]
        self.place = min(self.place + 1, len(self.tokens) - 1)
        return token

    def expect(self, text: str, why: str) -> Token:
        token = self.take()
        if token.text != text or token.kind == "string":
            raise self.fail(token, f"expected `{text}` {why}, found {_said(token)}")
        return token

    def depth(self, at: Token | int, *children: Expr) -> int:
        deepest = 1 + max((child.depth for child in children), default=0)
        if deepest > MAX_DEPTH:
            raise self.too_deep(at if isinstance(at, int) else at.at)
        return deepest

    def too_deep(self, at: int) -> ExpressionError:
        return ExpressionError(
            self.text, at, f"it is nested more than {MAX_DEPTH} deep", "split it with a `value` node"
        )

    def is_word(self, word: str) -> bool:
        return self.next.kind == "name" and self.next.text == word


class _Parser(_Words):
    def whole(self) -> Expr:
        if self.next.kind == "end":
            raise self.fail(self.next, "the expression is empty", "text is written in quotes: ''")
        tree = self.expression()
        if self.next.kind != "end":
            token = self.next
            hint = (
                "text is written in quotes: 'two words'" if token.kind in {"name", "number", "string"} else ""
            )
            raise self.fail(token, f"expected the end or an operator, found {_said(token)}", hint)
        return tree

    def expression(self) -> Expr:
        self.nesting += 1
        if self.nesting > MAX_DEPTH:
            raise self.too_deep(self.next.at)
        tree = self.binary(0)
        if self.is_word("if"):
            token = self.take()
            condition = self.binary(0)
            self.expect("else", "after the condition")
            no = self.expression()
            depth = self.depth(token, condition, tree, no)
            tree = Choice(at=tree.at, depth=depth, condition=condition, yes=tree, no=no)
        self.nesting -= 1
        return tree

    def binary(self, least: int) -> Expr:
        left = self.unary()
        while True:
            op = self.operator()
            binding = _BINDING.get(op, 0)
            if not binding or binding <= least:
                return left
            token = self.take()
            if op == "not in":
                self.take()
            right = self.binary(binding)
            if binding == _COMPARISON and _BINDING.get(self.operator()) == _COMPARISON:
                raise self.fail(
                    self.next, "comparisons are not chained", "write `a < b and b < c`, or use brackets"
                )
            left = Binary(at=token.at, depth=self.depth(token, left, right), op=op, left=left, right=right)

    def operator(self) -> str:
        token = self.next
        if token.kind not in {"op", "name"}:
            return ""
        if token.text == "not" and self.tokens[self.place + 1].text == "in":
            return "not in"
        return token.text

    def unary(self) -> Expr:
        token = self.next
        if self.is_word("not") or (token.kind == "op" and token.text == "-"):
            self.take()
            self.nesting += 1
            if self.nesting > MAX_DEPTH:
                raise self.too_deep(token.at)
            operand = self.binary(_NOT if token.text == "not" else _NEGATION)
            self.nesting -= 1
            return Unary(at=token.at, depth=self.depth(token, operand), op=token.text, operand=operand)
        return self.postfix(self.primary())

    def postfix(self, tree: Expr) -> Expr:
        while self.next.kind == "op" and self.next.text in {".", "["}:
            token = self.take()
            if token.text == ".":
                name = self.take()
                if name.kind != "name":
                    raise self.fail(
                        name,
                        f"expected a name after `.`, found {_said(name)}",
                        'other names: order["a name"]',
                    )
                tree = Field(at=name.at, depth=self.depth(token, tree), base=tree, name=name.text)
            else:
                index = self.expression()
                self.expect("]", "after the index")
                tree = Index(at=token.at, depth=self.depth(token, tree, index), base=tree, index=index)
        if self.next.text == "(" and self.next.kind == "op":
            raise self.fail(
                self.next,
                "only functions can be called, by their name",
                "work is done by steps; see the list of functions",
            )
        return tree

    def primary(self) -> Expr:
        token = self.take()
        if token.kind == "number":
            return Literal(at=token.at, value=self.number(token))
        if token.kind == "string":
            return Literal(at=token.at, value=self.unescaped(token))
        if token.kind == "name":
            return self.word(token)
        if token.text == "(" and token.kind == "op":
            tree = self.expression()
            self.expect(")", f"for the bracket in column {token.at + 1}")
            return tree
        if token.text == "[":
            items = self.items("]", token)
            return ListOf(at=token.at, depth=self.depth(token, *items), items=items)
        if token.text == "{":
            return self.object(token)
        raise self.fail(token, f"expected a value, found {_said(token)}")

    def word(self, token: Token) -> Expr:
        if token.text in _CONSTANTS:
            return Literal(at=token.at, value=_CONSTANTS[token.text])
        if token.text in _WORDS:
            raise self.fail(token, f"expected a value, found the word `{token.text}`")
        if self.next.kind == "op" and self.next.text == "(":
            self.take()
            arguments = self.items(")", token)
            depth = self.depth(token, *arguments)
            return Call(at=token.at, depth=depth, function=token.text, arguments=arguments)
        return Name(at=token.at, name=token.text)

    def items(self, close: str, opened: Token) -> tuple[Expr, ...]:
        found: list[Expr] = []
        while not (self.next.kind == "op" and self.next.text == close):
            found.append(self.expression())
            if self.next.text != "," or self.next.kind != "op":
                break
            self.take()
        self.expect(close, f"for what began in column {opened.at + 1}")
        return tuple(found)

    def object(self, opened: Token) -> Expr:
        found: dict[str, Expr] = {}
        while self.next.text != "}" or self.next.kind != "op":
            key = self.take()
            if key.kind not in {"name", "string"}:
                raise self.fail(key, f"expected the name of a field, found {_said(key)}")
            name = key.text if key.kind == "name" else self.unescaped(key)
            if name in found:
                raise self.fail(key, f"the field {name!r} stands here twice")
            self.expect(":", f"after the field {name!r}")
            found[name] = self.expression()
            if self.next.text != "," or self.next.kind != "op":
                break
            self.take()
        self.expect("}", f"for what began in column {opened.at + 1}")
        depth = self.depth(opened, *found.values())
        return ObjectOf(at=opened.at, depth=depth, items=tuple(found.items()))

    # ------------------------------------------------------------ literals

    def number(self, token: Token) -> int | float:
        if token.text.isdigit():
            value = int(token.text) if len(token.text) < 20 else MAX_INTEGER + 1
            if value > MAX_INTEGER:
                raise self.fail(token, "the integer has more than 64 bits", "write it as text")
            return value
        number = float(token.text)
        if not math.isfinite(number):
            raise self.fail(token, "the number is too large")
        return number

    def unescaped(self, token: Token) -> str:
        def one(match: re.Match[str]) -> str:
            code = match[1]
            if len(code) == 5:
                code = chr(int(code[1:], 16))
            elif code in _ESCAPES:
                code = _ESCAPES[code]
            else:
                at = Token("string", "", token.at + 1 + match.start())
                raise self.fail(at, f"\\{code} is no escape", r"there are \n \t \r \\ \" \' \/ \u0041")
            return code

        text = _ESCAPE.sub(one, token.text[1:-1])
        if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
            raise self.fail(token, "this text holds half of a surrogate pair", "write the character itself")
        return text


def _said(token: Token) -> str:
    return "the end" if token.kind == "end" else f"`{token.text}`"
