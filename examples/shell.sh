#!/usr/bin/env bash
# A shell script and a Python agent in one pool. The agent puts work into a queue and waits for the
# answer; the script takes it, in one process for each step, answers and acknowledges.
set -euo pipefail

folder=$(mktemp -d)
trap 'kill "$agent" 2>/dev/null || true; rm -rf "$folder"' EXIT
agent=
export AGENTPOOL_STORE=$folder/pool.db AGENTPOOL_POOL=pool.build AGENTPOOL_RUN=run.shell

agentpool init --queue work 2>/dev/null

"${PYTHON:-python3}" - <<'PROGRAM' &
import asyncio
import os

import agentpool as ap


async def main() -> None:
    async with (
        ap.open_pool(os.environ["AGENTPOOL_STORE"], os.environ["AGENTPOOL_POOL"]) as pool,
        pool.member(ap.AgentPoolMember("run.planner", "agent.planner")) as me,
    ):
        queue = await pool.queue("work")
        answer = await me.ask_one(queue.address, "durable", timeout=120)
        print(f"agent: durable has {await me.read(answer)} letters", flush=True)
        await me.publish("work.done")


asyncio.run(main())
PROGRAM
agent=$!

token=$(agentpool take --queue work --timeout 2m --field token)
word=$(agentpool show "$token" --field body)
echo "shell: counting $word"
agentpool reply "$token" "${#word}" >/dev/null
agentpool ack "$token"

agentpool wait event work.done --past --timeout 2m --field came
wait "$agent"
agent=
agentpool inbox --queue work >/dev/null || echo "shell: the queue is empty"
