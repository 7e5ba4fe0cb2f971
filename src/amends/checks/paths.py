"""Walks a saga's body over sets of states. The theory stands in `flow`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .definitions import Definitions, SagaDef
from .flow import NONE, Event, State, States
from .resolver import Resolver
from .source import Function, FunctionNode

if TYPE_CHECKING:
    from .summaries import Summaries

MANY_STATES = 48
DEEP = 10

LIMITS = {"asyncio.timeout", "asyncio.timeout_at"}
MAPPERS = {"builtins.map", "functools.partial", "itertools.starmap"}


class Paths:
    """Walks one saga. `events` are in the order of the source."""

    def __init__(self, saga: SagaDef, definitions: Definitions, summaries: Summaries) -> None:
        self.definitions = definitions
        self.resolver: Resolver = definitions.resolver
        self.summaries = summaries
        self.events: dict[tuple[ast.AST, tuple[ast.AST, ...]], Event] = {}
        self.function = saga.function
        self.chain: tuple[tuple[Function, ast.AST], ...] = ()
        self.around: tuple[tuple[str, ast.AST], ...] = ()
        self.returned: set[State] = set()
        self.thrown: list[set[State]] = []
        self.loops: list[tuple[set[State], set[State]]] = []  # states at break and at continue
        self.ends = self.returned | self.block(saga.function.node.body, frozenset({State()}))

    # ------------------------------------------------------------ events

    def event(self, kind: str, node: ast.AST, states: States, **what: object) -> Event:
        """Record that this happens in these states."""
        key = (node, tuple(call for _, call in self.chain))
        found = self.events.get(key)
        if found is None:
            found = Event(kind, node, self.function, chain=self.chain, around=self.around, **what)  # type: ignore[arg-type]
            self.events[key] = found
        found.states |= states
        self.throw(states)
        return found

    def throw(self, states: States) -> None:
        """These states may lead to the handlers around."""
        for caught in self.thrown:
            caught.update(states)

    @contextmanager
    def within(self, kind: str, node: ast.AST) -> Iterator[None]:
        """Walk something in these surroundings."""
        before = self.around
        self.around = (*before, (kind, node))
        yield
        self.around = before

    # ------------------------------------------------------------ statements

    def block(self, body: list[ast.stmt], states: States) -> States:
        """The states after these statements."""
        for statement in body:
            if not states:
                break
            if len(states) > MANY_STATES:
                states = frozenset(State(s.pivot, s.exposed) for s in states)
            walk = getattr(self, f"_{type(statement).__name__.lower()}", None)
            states = walk(statement, states) if walk else self.children(statement, states)
        return states

    def _functiondef(self, node: FunctionNode, states: States) -> States:
        return states

    _asyncfunctiondef = _classdef = _functiondef

    def _if(self, node: ast.If, states: States) -> States:
        states = self.expression(node.test, states)
        yes, no = self._assume(node.test, states)
        return self.block(node.body, yes) | self.block(node.orelse, no)

    def _assume(self, test: ast.expr, states: States) -> tuple[States, States]:
        """The states in which a test holds, and those in which it does not."""
        if isinstance(test, ast.Constant):
            return (states, NONE) if test.value else (NONE, states)
        positive = True
        while isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            test, positive = test.operand, not positive
        if not _is_simple(test):
            return states, states
        key = f"{self.function.qualname} {ast.unparse(test)}"

        def told(answer: bool) -> States:
            return frozenset(
                State(s.pivot, s.exposed, s.assumed | {(key, answer)})
                for s in states
                if (key, not answer) not in s.assumed
            )

        return told(positive), told(not positive)

    def _forget(self, target: ast.AST, states: States) -> States:
        """A name is bound anew: what was assumed about it holds no more."""
        names = {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}
        if not any(s.assumed for s in states):
            return states
        return frozenset(
            State(s.pivot, s.exposed, frozenset(a for a in s.assumed if not names & set(_words(a[0]))))
            for s in states
        )

    def _assign(self, node: ast.Assign, states: States) -> States:
        states = self.expression(node.value, states)
        for target in node.targets:
            states = self._forget(target, self.expression(target, states))
        return states

    def _augassign(self, node: ast.AugAssign, states: States) -> States:
        return self._forget(node.target, self.expression(node.value, states))

    def _annassign(self, node: ast.AnnAssign, states: States) -> States:
        return self._forget(node.target, self.expression(node.value, states)) if node.value else states

    def _for(self, node: ast.For | ast.AsyncFor, states: States) -> States:
        return self._loop(node, self.expression(node.iter, states), node.target, endless=False)

    _asyncfor = _for

    def _while(self, node: ast.While, states: States) -> States:
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        return self._loop(node, states, None, endless=endless, test=node.test)

    def _loop(
        self,
        node: ast.For | ast.AsyncFor | ast.While,
        states: States,
        target: ast.expr | None,
        *,
        endless: bool,
        test: ast.expr | None = None,
    ) -> States:
        broken: set[State] = set()
        seen: States = NONE
        with self.within("loop", node):
            while not states <= seen:
                seen |= states
                begin = self._forget(target, seen) if target is not None else self.expression(test, seen)
                again: set[State] = set()
                self.loops.append((broken, again))
                states = self.block(node.body, begin) | again
                self.loops.pop()
        after = NONE if endless else self.block(node.orelse, seen)
        return after | broken

    def _break(self, node: ast.Break, states: States) -> States:
        self.loops[-1][0].update(states)
        return NONE

    def _continue(self, node: ast.Continue, states: States) -> States:
        self.loops[-1][1].update(states)
        return NONE

    def _return(self, node: ast.Return, states: States) -> States:
        if node.value is not None:
            states = self.expression(node.value, states)
        self.returned |= states
        return NONE

    def _raise(self, node: ast.Raise, states: States) -> States:
        states = self.children(node, states)
        self.event("raise", node, states)
        return NONE

    def _try(self, node: ast.Try, states: States) -> States:
        caught: set[State] = set(states)
        self.thrown.append(caught)
        with self.within("try" if node.handlers else "guarded", node):
            after = self.block(node.body, states)
        self.thrown.pop()
        after = self.block(node.orelse, after)
        handled = NONE
        for handler in node.handlers:
            with self.within("handler", handler):
                handled |= self.block(handler.body, frozenset(caught))
        after |= handled
        if node.finalbody:
            with self.within("finally", node):
                self.block(node.finalbody, after | frozenset(caught))
                after = self.block(node.finalbody, after)
        return after

    _trystar = _try

    def _with(self, node: ast.With | ast.AsyncWith, states: States) -> States:
        kinds = []
        for item in node.items:
            states = self.expression(item.context_expr, states)
            kinds.append((self._surroundings(item.context_expr), node))
        caught: set[State] = set()
        suppresses = any(kind == "suppress" for kind, _ in kinds)
        if suppresses:
            self.thrown.append(caught)
        before = self.around
        self.around = (*before, *kinds)
        states = self.block(node.body, states)
        self.around = before
        if suppresses:
            self.thrown.pop()
        return states | caught

    _asyncwith = _with

    def _surroundings(self, node: ast.expr) -> str:
        if not isinstance(node, ast.Call):
            return "with"
        made = self.resolver.dotted(node.func, self.function)
        if made in LIMITS:
            return "limit"
        return {
            "asyncio.TaskGroup": "group",
            "amends.savepoint": "savepoint",
            "contextlib.suppress": "suppress",
        }.get(made or "", "with")

    def _match(self, node: ast.Match, states: States) -> States:
        states = self.expression(node.subject, states)
        after, exhaustive = NONE, False
        for case in node.cases:
            begin = self.expression(case.guard, states) if case.guard else states
            after |= self.block(case.body, begin)
            exhaustive |= (
                isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None and case.guard is None
            )
        return after if exhaustive else after | states

    # ------------------------------------------------------------ expressions

    def children(self, node: ast.AST, states: States) -> States:
        """Walk the parts of a node in order."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                states = self.expression(child, states)
            elif not isinstance(child, ast.stmt):
                states = self.children(child, states)
        return states

    def expression(self, node: ast.expr | None, states: States) -> States:
        """The states after an expression."""
        if node is None or isinstance(node, ast.Lambda):
            return states
        if isinstance(node, ast.Call):
            return self._call(node, states)
        if isinstance(node, ast.IfExp):
            yes, no = self._assume(node.test, self.expression(node.test, states))
            return self.expression(node.body, yes) | self.expression(node.orelse, no)
        if isinstance(node, ast.BoolOp):
            for each in node.values:
                states = states | self.expression(each, states)
            return states
        if isinstance(node, ast.Await):
            states = self.expression(node.value, states)
            self.throw(states)
            return states
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            for generator in node.generators:
                states = self.expression(generator.iter, states)
            with self.within("loop", node):
                return self.children(node, states)
        return self.children(node, states)

    def _call(self, node: ast.Call, states: States) -> States:
        target = self.resolver.dotted(node.func, self.function)
        around = {"asyncio.shield": "shield", "asyncio.wait_for": "limit"}.get(target or "")
        states = self.expression(node.func, states)
        if around:
            with self.within(around, node):
                states = self._arguments(node, states)
        else:
            states = self._arguments(node, states)
        if not states:
            return states
        if target in MAPPERS and node.args:
            target = self.resolver.dotted(node.args[0], self.function)
        return self._target(node, target, states)

    def _arguments(self, node: ast.Call, states: States) -> States:
        for each in [*node.args, *(keyword.value for keyword in node.keywords)]:
            states = self.expression(each, states)
        return states

    def _target(self, node: ast.Call, target: str | None, states: States) -> States:
        if target is None:
            return states
        if target == "amends.pivot":
            self.event("pivot", node, states)
            return frozenset(State(node, s.exposed, s.assumed) for s in states)
        if target == "amends.continue_as_new":
            self.event("again", node, states)
            return NONE
        if (step := self.definitions.step(target)) is not None:
            happened = self.event("step", node, states, step=step)
            after = states
            if step.irreversible or step.nodes.get("irreversible") is not None:
                after = frozenset(State(s.pivot, s.exposed | {happened}, s.assumed) for s in states)
            self.throw(after)
            return after
        if (saga := self.definitions.saga(target)) is not None:
            self.event("child", node, states, saga=saga)
            after = frozenset(
                State(s.pivot or (node if pivots else None), s.exposed, s.assumed)
                for s in states
                for pivots in self.summaries.pivots(saga)
            )
            self.throw(after)
            return after
        if target in ("asyncio.sleep", "amends.Signal.receive"):
            self.event("wait", node, states)
            return states
        helper = self.definitions.project.function(target)
        return states if helper is None else self._helper(node, helper, states)

    def _helper(self, node: ast.Call, helper: Function, states: States) -> States:
        """Walk a function of the same project where it is called."""
        if len(self.chain) >= DEEP or helper is self.function or any(f is helper for f, _ in self.chain):
            return states
        saved = self.function, self.chain, self.returned, self.loops
        self.function, self.chain = helper, (*self.chain, (self.function, node))
        self.returned, self.loops = set(), []
        states = self.block(helper.node.body, states) | self.returned
        self.function, self.chain, self.returned, self.loops = saved
        return states


def _is_simple(node: ast.expr) -> bool:
    """A test that gives the same answer when asked again."""
    allowed = ast.Name | ast.Attribute | ast.Constant | ast.Compare | ast.cmpop | ast.expr_context
    return all(isinstance(each, allowed) for each in ast.walk(node))


def _words(text: str) -> list[str]:
    return text.replace(".", " ").replace("(", " ").replace(")", " ").split()
