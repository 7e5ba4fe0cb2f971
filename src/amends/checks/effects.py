"""Does a step do anything outside? And is it something that people see?

A body that only computes, only refuses, or only reads (by the safe methods of an HTTP client, RFC 9110)
has no effect, so there is nothing to undo, and neither has a step whose name says that it only asks
(``get_price``). A body that is left open (``...``) stands for one that has. Whatever cannot be followed
counts as an effect.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from .source import Function, own_nodes

if TYPE_CHECKING:
    from .context import Context

_FUNCTIONS = """
abs all any ascii bin bool bytes callable chr dict divmod enumerate filter float format frozenset getattr
hasattr hash hex id int isinstance issubclass iter len list map max min next oct ord pow range repr reversed
round set slice sorted str sum tuple type zip
"""
_MODULES = """
math decimal fractions statistics itertools functools operator collections dataclasses datetime time random
uuid hashlib hmac base64 json re string textwrap copy enum typing msgspec asyncio.sleep zoneinfo calendar
"""
_METHODS = """
join split rsplit strip lstrip rstrip upper lower title casefold replace startswith endswith format encode
decode json raise_for_status read text partition rpartition removeprefix removesuffix zfill isdecimal
isdigit isalpha items keys values index count total_seconds isoformat hexdigest digest append add random
uniform randrange choice astuple copy quantize normalize timestamp date time strftime strptime astimezone
splitlines group groups match sub findall is_integer bit_length hex union intersection difference issubset
issuperset model_dump most_common
"""
PURE, PURE_MODULES, PURE_METHODS = (frozenset(each.split()) for each in (_FUNCTIONS, _MODULES, _METHODS))
SAFE_METHODS = {"get", "head", "options", "check", "poll", "probe", "query"}
CLIENTS = (
    "amends.participants.http.",
    "amends.participants.graphql.",
    "httpx.",
    "httpx2.",
    "requests.",
    "aiohttp.",
)
SESSIONS = {"httpx.AsyncClient", "httpx2.AsyncClient", "aiohttp.ClientSession", "requests.Session"}
OURS = {"amends.current", "amends.Rejected", "amends.NotSent", "amends.now", "amends.Retry"}
_MAIL = re.compile(r"(^|_)(e?mails?|sms|notify|notification|notifications|newsletter|announce|tweet)(_|$)")
_READS = re.compile(
    r"(get|fetch|find|look_?up|query|read|search|describe|count|is|has|validate|calculate|compute|estimate|quote|poll)"
    r"(_|$)"
)
_WRITES = """
post put patch delete insert update upsert send publish write write_text write_bytes commit create save charge
pay book reserve add append remove
"""
WRITES = frozenset(_WRITES.split())
DEPTH = 6


def says_mail(name: str) -> bool:
    """Does the name of a step speak of telling people something?"""
    return _MAIL.search(name) is not None


def only_reads(function: Function) -> bool:
    """Does its name say that it only asks (``get_price``), and does nothing in it look like a change?"""
    called = {
        node.func.attr
        for node in own_nodes(function.node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    return _READS.match(function.name) is not None and not called & WRITES


def has_effects(function: Function, context: Context, depth: int = 0) -> bool:
    """May it do something that would have to be undone?"""
    if depth == 0 and only_reads(function):
        return False
    statements = [s for s in function.node.body if not _is_docstring(s)]
    if not statements or all(_is_left_open(s) for s in statements):
        return True
    for node in own_nodes(function.node):
        if isinstance(node, ast.Global | ast.Yield | ast.YieldFrom | ast.AsyncFor):
            return True
        if _is_stored(node) and not _is_own(node, function):
            return True
        if isinstance(node, ast.Await) and not isinstance(node.value, ast.Call):
            return True
        if isinstance(node, ast.Call) and not _is_pure(node, function, context, depth):
            return True
    return False


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del)


def _is_own(node: ast.AST, function: Function) -> bool:
    """Does it belong to a collection that the function has made itself?"""
    owner = node.value if isinstance(node, ast.Subscript) else None
    binding = function.bindings.get(owner.id) if isinstance(owner, ast.Name) else None
    return isinstance(binding, ast.Dict | ast.List | ast.ListComp | ast.DictComp)


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_left_open(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        return statement.exc is not None and "NotImplementedError" in ast.unparse(statement.exc)
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _is_pure(call: ast.Call, function: Function, context: Context, depth: int) -> bool:
    dotted = context.resolver.dotted(call.func, function)
    if dotted is None:
        if not isinstance(call.func, ast.Attribute):
            return False
        awaited = isinstance(function.module.parents.get(call), ast.Await)
        return call.func.attr in PURE_METHODS or (call.func.attr == "get" and not awaited)
    if dotted in SESSIONS or (dotted.startswith(CLIENTS) and dotted.rpartition(".")[2] in SAFE_METHODS):
        return True
    if dotted.startswith("amends."):
        return dotted in OURS or dotted.startswith(("amends.Current.", "amends.current."))
    parts = dotted.split(".")
    if parts[0] == "builtins":
        return parts[1] in PURE or parts[1].endswith(("Error", "Exception", "Warning"))
    if any(".".join(parts[:cut]) in PURE_MODULES for cut in range(1, len(parts) + 1)):
        return True
    if context.resolver.class_node(dotted) is not None:
        maker = context.project.function(context.resolver.member(dotted, "__init__"))
        return maker is None
    helper = context.project.function(dotted)
    return helper is not None and depth < DEPTH and not has_effects(helper, context, depth + 1)
