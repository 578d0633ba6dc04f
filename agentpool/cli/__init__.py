"""The command line: ``agentpool VERB``, also as ``python -m agentpool``.

======================= =======================================================================
`running`               a call from beginning to end: arguments, the verb, the exit code
`arguments`             what verbs have in common: a verb, its parser, its options
`printing`              rows as a table, as JSON lines or one field of them; nothing harmful
`times`                 seconds and moments as people write them
`extras`                what a verb needs that few have installed
`opening`               the store and the pool that are meant, and the run that acts
`rows`                  records, messages and members as rows
`looking`               pools, members, stats, top, explain
`log`                   tail, show, thread
`talking`               inbox, send, ask, reply, publish
`working`               take, ack, nack, dead
`waiting`               wait
`making`                init, join, leave
`health`                check, doctor, backup; `reports` says it to monitoring
`moving`                copy
`hosting`               mcp
`setup`                 setup; `hooks` is what the hooks of hosts call
`page`                  web
`completion`            what shells complete
======================= =======================================================================

Each verb is a thin layer over `agentpool.open_store`, `agentpool.AgentPool` and
`agentpool.doctor`. The arguments are parsed by `argparse`: hooks start some verbs constantly, so
nothing is loaded that the library does not load itself, and no extra is needed.
"""

from agentpool.cli.running import main

__all__ = ("main",)
