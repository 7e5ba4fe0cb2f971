"""One of several servers: does it hold the partitions that its place in the URL gives to it?"""

from __future__ import annotations

from ...errors import Misplaced
from ...store.partition import Placement
from ...store.places.members import Member
from .finding import Finding, careful, fine, problem


def examine_placement(member: Member, said: Placement | None, family: str) -> Finding:
    """Compare what a server says with what it should be. family: what the servers before it say."""
    if said is None:
        seen = f"{member.store.where} is to be {member.share.said}, and holds nothing yet"
        do = "are all of them new? Then the first worker or client makes the store; else restore its backup"
        return careful("placement", seen, do)
    try:
        member.check(said, family)
    except Misplaced as error:
        return problem("placement", error.message, error.hint)
    if not said.complete:
        return careful(
            "placement", f"{said.share.said}, not complete", "the next worker or client completes it"
        )
    return fine("placement", f"{said.share.said} of the store {said.family}")
