"""The peer's services: what Restate calls over HTTP/2, served as its documentation teaches."""

from __future__ import annotations

import asyncio
import sys

import hypercorn
import hypercorn.asyncio
import restate

bench = restate.Service("bench")


async def _add(x: int) -> int:
    return x + 1


@bench.handler("five_steps")
async def five_steps(ctx: restate.Context, x: int) -> int:
    for number in range(5):
        x = await ctx.run_typed(f"add-{number}", _add, x=x)
    return x


app = restate.app(services=[bench])


if __name__ == "__main__":
    config = hypercorn.Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    config.h2_max_concurrent_streams = 2147483647
    config.keep_alive_max_requests = 2147483647
    config.loglevel = "ERROR"
    asyncio.run(hypercorn.asyncio.serve(app, config))
