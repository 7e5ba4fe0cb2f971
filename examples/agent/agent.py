"""An AI agent whose tool calls can be taken back.

The model proposes one tool call after the other; each is a step with a compensation. If the plan fails, or
a person says no, everything the agent did is undone in reverse. What cannot be undone (an e-mail) waits
for approval. The model here is a script, so that the example runs anywhere: put a step that asks yours in its
place.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from amends import Engine, Rejected, Signal, saga, step

WORLD: dict[str, str] = {}
SENT: list[str] = []

approval = Signal[bool]("agent.approval")


@step(name="agent.think")
async def think(goal: str, done: list[str]) -> list[str]:
    """The next tool call, or nothing when the goal is reached. A step: a replay hears the same answer."""
    script = [
        ["create_ticket", f"{goal}: prepare"],
        ["reserve_room", goal],
        ["send_mail", f"We meet about {goal}."],
    ]
    return script[len(done)] if len(done) < len(script) else []


@step(name="agent.create_ticket")
async def create_ticket(text: str) -> str:
    WORLD[f"ticket {text}"] = "open"
    return text


@create_ticket.compensation
async def delete_ticket(ticket: str | None, text: str) -> None:
    WORLD.pop(f"ticket {text}", None)


@step(name="agent.reserve_room")
async def reserve_room(text: str) -> str:
    WORLD[f"room for {text}"] = "reserved"
    return text


@reserve_room.compensation
async def free_room(room: str | None, text: str) -> None:
    WORLD.pop(f"room for {text}", None)


@step(name="agent.send_mail", irreversible=True)
async def send_mail(text: str) -> str:
    SENT.append(text)
    return text


TOOLS = {"create_ticket": create_ticket, "reserve_room": reserve_room}


@saga(name="agent.pursue", deadline=timedelta(days=1))
async def pursue(goal: str) -> list[str]:
    done: list[str] = []
    for _ in range(20):  # a model may go round in circles
        call = await think(goal, done)
        if not call:
            return done
        tool, text = call
        if tool == "send_mail":
            if not await approval.receive():
                raise Rejected("a person said no")  # leaves the saga: what was done is undone
            await send_mail(text)  # amends: ignore[AM105] a person has approved it
        else:
            await TOOLS[tool](text)
        done.append(f"{tool}: {text}")
    raise Rejected("the agent does not come to an end")


async def main() -> None:
    async with Engine("sqlite:///agent.db", sagas=[pursue]) as engine:
        for goal, answer in (("the roof", True), ("the cellar", False)):
            handle = await engine.start(pursue(goal), id=f"agent-{goal}")
            await handle.send(approval, answer, key="first answer")
            print(goal, (await handle.outcome()).status, sorted(WORLD))


if __name__ == "__main__":
    asyncio.run(main())
