"""Django: put `amends.participants.barrier.web.django.BarrierMiddleware` into MIDDLEWARE, then use
`key_of(request.headers)` in a view.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from . import ERRORS, refusal

__all__ = ["BarrierMiddleware"]


class BarrierMiddleware(MiddlewareMixin):  # type: ignore[misc]  # Django has no types
    """Answers `Rejected`, `Hanging` and `InvalidKey` that a view raises, be it blocking or asynchronous."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The response, or None for an exception that is not the barrier's."""
        if not isinstance(exception, ERRORS):
            return None
        said = refusal(exception)
        return HttpResponse(said.body, status=said.status, headers=said.headers)
