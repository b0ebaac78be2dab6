"""Runs one operation of the Python SDK's client with server-everything behind
the gate:

    python drive.py progress auto http://127.0.0.1:8080/mcp

The second argument is how the client finds its revision: auto tries the modern
one first, legacy begins with initialize. The script exits with 0 if all that
the operation asserts holds, and prints what the test is to know, a JSON object
a line.
"""

import asyncio
import json
import sys

from mcp import Client

LONG_OPERATION = "trigger-long-running-operation"


def tell(event, value):
    print(json.dumps({"event": event, "value": value}), flush=True)


def text(result):
    assert not result.is_error, result
    return "\n".join(block.text for block in result.content if block.type == "text")


async def list_all(client):
    names = [tool.name for tool in (await client.list_tools()).tools]
    assert {"echo", "get-sum", LONG_OPERATION} <= set(names), names
    assert (await client.list_resources()).resources
    assert (await client.list_resource_templates()).resource_templates
    assert (await client.list_prompts()).prompts


async def call(client):
    message = 'Zürich\u200d \U0001f600 "quoted" \\ line\nline'
    assert text(await client.call_tool("echo", {"message": message})) == f"Echo: {message}"
    assert "42" in text(await client.call_tool("get-sum", {"a": 40, "b": 2}))


async def progress(client):
    seen = []

    async def hear(progress, total, message):
        seen.append(progress)

    result = await client.call_tool(LONG_OPERATION, {"duration": 1, "steps": 4}, progress_callback=hear)
    assert "completed" in text(result)
    while len(seen) < 4:  # heard beside the call; the test bounds the time
        await asyncio.sleep(0.05)
    assert seen == [1, 2, 3, 4], seen


async def server(client):
    environment = json.loads(text(await client.call_tool("get-env", {})))
    tell("pid", int(environment["SERVER_PID"]))


OPERATIONS = {"list": list_all, "call": call, "progress": progress, "server": server}


async def main(operation, mode, url):
    # Leaving the block ends a legacy session with DELETE.
    async with Client(url, mode=mode) as client:
        await OPERATIONS[operation](client)


asyncio.run(main(*sys.argv[1:]))
