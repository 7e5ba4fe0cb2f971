"""HTTP for steps: `pip install 'amends[http]'`. See docs/clients.md."""

from ..attempt import as_uuid
from ..failures import TryLater, UnknownOutcome, UnreadableReply
from ..verdict import Verdict
from .client import HttpClient, Options
from .policy import POLICY, Policy
from .reply import Accepted, Reply

__all__ = [
    "POLICY",
    "Accepted",
    "HttpClient",
    "Options",
    "Policy",
    "Reply",
    "TryLater",
    "UnknownOutcome",
    "UnreadableReply",
    "Verdict",
    "as_uuid",
]
