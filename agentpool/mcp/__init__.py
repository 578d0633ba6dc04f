"""A server for hosts that speak MCP: any coding agent joins a pool by it; extra ``mcp``.

======================= =======================================================================
`server`                the server, on standard input and output; `by_http` by HTTP
`arguments`             the eight tools: what each is for, and its arguments
`tools`                 what they do; `who` for who is in the pool
`answers`               what they say: no longer than was asked for; `results` as a host is given it
`seat`                  the run that a server acts as, and the claims that it has
`waits`                 questions and waits that outlive the server: `questions`, and `wakes`
`standing`              what these have in common: their ids, and how they stand
`tasks`                 the same as tasks, for hosts that declare them
======================= =======================================================================

Of what a server knows, nothing is lost with it: it has no state but what is in the store. A claim
is ended by its name, a wait goes on by its id, from whatever process.
"""

from agentpool.mcp.seat import Seat
from agentpool.mcp.server import serve_stdio, server_for

__all__ = ("Seat", "serve_stdio", "server_for")
