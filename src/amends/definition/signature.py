"""How a function's parameters become a payload.

Each function gets a msgspec Struct with one field per journaled parameter.  Building it binds and checks the
arguments at C speed; encoding it gives ``{"order": {…}}``; decoding it fills defaults for parameters that a
journal written earlier does not have.  Parameters annotated ``Resource[T]`` are left out: the worker
fills them when it runs the function.
"""

from __future__ import annotations

import copy
import inspect
import sys
import typing
from collections.abc import Callable
from functools import cached_property
from types import FrameType
from typing import Any

import msgspec

from .. import codec
from ..errors import DefinitionError, PayloadError
from .resource import resource_type

_UNSUPPORTED = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


def caller_locals(qualname: str, depth: int) -> dict[str, Any] | None:
    """Local names around a function defined inside another one (needed to resolve its annotations)."""
    if "<locals>" not in qualname:
        return None
    frame: FrameType | None = sys._getframe(depth)
    found: dict[str, Any] = {}
    while frame is not None and "amends/definition" in frame.f_code.co_filename.replace("\\", "/"):
        frame = frame.f_back
    while frame is not None and frame.f_code.co_flags & inspect.CO_NEWLOCALS:
        found = {**frame.f_locals, **found}
        frame = frame.f_back
    return found


class Signature:
    """Parameters and result of one function, as types that can be journaled.

    `skip` leading parameters (``self``, a compensation's result) are not journaled.
    """

    def __init__(
        self, fn: Callable[..., Any], skip: int = 0, local_names: dict[str, Any] | None = None
    ) -> None:
        self.fn = fn
        self.skip = skip
        self._wants = self
        self.parameters = list(inspect.signature(fn).parameters.values())[skip:]
        self._locals = local_names
        for parameter in self.parameters:
            if parameter.kind in _UNSUPPORTED:
                raise DefinitionError(
                    f"{fn.__qualname__} has the parameter {_UNSUPPORTED[parameter.kind]}{parameter.name}; "
                    "arguments are journaled by name",
                    hint="name each parameter, or take one list or dict",
                )
        if local_names is not None:
            self.hints  # noqa: B018 - resolve now, while the surrounding names exist
            self._locals = None

    def wants_as(self, other: Signature) -> None:
        """Another function is run in this one's place, so its resources are wanted."""
        self._wants = other
        self.__dict__.pop("plan", None)

    @cached_property
    def hints(self) -> dict[str, Any]:
        """Resolved annotations. Raises `DefinitionError` for names that do not exist."""
        try:
            return typing.get_type_hints(self.fn, localns=self._locals, include_extras=True)
        except NameError as error:
            raise DefinitionError(
                f"an annotation of {self.fn.__qualname__} cannot be resolved: {error}",
                hint="define or import it above, at module level, and not under TYPE_CHECKING",
            ) from error

    @cached_property
    def args(self) -> type[msgspec.Struct]:
        """The Struct whose fields are the journaled parameters."""
        return self._build()

    @cached_property
    def _args_decoder(self) -> codec.Decoder:
        return codec.Decoder(self.args)

    def _build(self) -> type[msgspec.Struct]:
        plain: list[Any] = []
        named: list[Any] = []
        for parameter in self.parameters:
            hint = self.hints.get(parameter.name, Any)
            if resource_type(hint) is not None:
                continue
            field = _field(parameter, hint)
            (named if parameter.kind is inspect.Parameter.KEYWORD_ONLY else plain).append(field)
        name = self.fn.__name__.title().replace("_", "") or "Args"
        base = msgspec.defstruct(name, plain)
        return msgspec.defstruct(name, named, bases=(base,), kw_only=True) if named else base

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> msgspec.Struct:
        """Check the arguments of a call. Raises TypeError as Python would."""
        try:
            return self.args(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.fn.__qualname__}(): {error}") from None

    def decode_args(self, raw: bytes | msgspec.Raw) -> Any:
        """Arguments read back with today's annotations. Raises `PayloadError`."""
        return self._args_decoder.decode(raw, self._what)

    @cached_property
    def _what(self) -> str:
        return f"arguments of {self.fn.__qualname__}"

    @cached_property
    def result(self) -> codec.Decoder:
        """Decoder of what the function returns."""
        hint = self.hints.get("return", Any)
        try:
            return codec.decoder(Any if hint is None else hint)
        except PayloadError as error:
            raise DefinitionError(
                f"result of {self.fn.__qualname__}: {error.message}", hint=error.hint
            ) from error

    @cached_property
    def plan(self) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]:
        """Names of positional and of keyword-only journaled parameters, and resource types by name."""
        resources = {
            p.name: kind
            for p in self.parameters
            if (kind := resource_type(self.hints.get(p.name, Any))) is not None
        }
        kept = [p for p in self.parameters if p.name not in resources]
        only = inspect.Parameter.KEYWORD_ONLY
        return (
            tuple(p.name for p in kept if p.kind is not only),
            tuple(p.name for p in kept if p.kind is only),
            resources if self._wants is self else self._wants.plan[2],
        )


def _field(parameter: inspect.Parameter, hint: Any) -> Any:
    default = parameter.default
    if default is inspect.Parameter.empty:
        return (parameter.name, hint)
    if isinstance(default, (list, dict, set, bytearray)):
        return (
            parameter.name,
            hint,
            msgspec.field(default_factory=lambda: copy.deepcopy(default)),
        )
    return (parameter.name, hint, default)
