"""The expression language of graphs: paths, arithmetic, comparisons, a few functions, and nothing else.

**Why a language of its own.**  A graph is data: it may come from a file, a form or another service, so
what stands in it must never be able to run code, hang, or give two answers.  Python's `eval` can do all
three however it is fenced in (and simpleeval fences it in: attribute access and operators on Python's own
objects).  JMESPath has no arithmetic and no boolean results.  CEL is the well-known standard, and was
looked at: of the implementations for Python, cel-python brings a parser generator, a regular-expression
engine in C++ and four more packages; the bindings to Rust bring a binary and hide the syntax tree, out of
which a graph needs the names (they are its dependencies), the columns (errors point at them) and the
types.  What is left is smaller than its adapter would be: a tokenizer, a parser by precedence, an
evaluator, a check of types.

**Total.**  There are no loops, no definitions, no way into Python: a value is what JSON can say.  Text is
at most `MAX_TEXT` long and `MAX_DEPTH` deep, evaluation spends `FUEL`, integers stay within 64 bits,
results within `MAX_SIZE`.  Whatever the input, the only exception is `ExpressionError`.  The same input
gives the same value in every process (it is asked again at each replay).

| | |
|---|---|
| literals | ``12``, ``2.5``, ``"text"``, ``true``, ``false``, ``null``, ``[a, b]``, ``{name: a}`` |
| paths | ``order.lines[0].price``, ``order["odd name"]``; a path through null is null |
| operators | ``or  and  not  == != < <= > >= in  + - * / // %``, ``a if condition else b`` |
| functions | see `functions` |
"""

from .evaluate import FUEL, MAX_SIZE, evaluate
from .infer import infer
from .shapes import ANY, Shape, shape_from, shape_of
from .syntax import MAX_DEPTH, MAX_TEXT, Expr, names, parse

__all__ = [
    "ANY",
    "FUEL",
    "MAX_DEPTH",
    "MAX_SIZE",
    "MAX_TEXT",
    "Expr",
    "Shape",
    "evaluate",
    "infer",
    "names",
    "parse",
    "shape_from",
    "shape_of",
]
