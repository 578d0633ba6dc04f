"""A server for hosts that speak MCP: any coding agent joins a pool by it; extra ``mcp``.

======================= =======================================================================
`server`                the server, on standard input and output; `by_http` by HTTP
`arguments`             the eight tools: what each is for, and its arguments
`tools`                 what they do
`answers`               what they say: never longer than was asked for
`seat`                  the run that a server acts as, and the claims that it has
`waits`                 questions and waits that outlive the server
`tasks`                 the same as tasks, for hosts that declare them
======================= =======================================================================

Of what a server knows, nothing is lost with it: it has no state but what is in the store. A claim
is ended by its name, a wait goes on by its id, from whatever process.
"""

from agentpool.mcp.seat import Seat
from agentpool.mcp.server import serve_stdio, server_for

__all__ = ("Seat", "serve_stdio", "server_for")
