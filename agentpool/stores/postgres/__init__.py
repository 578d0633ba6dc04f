"""The store on a PostgreSQL server; it needs the extra ``postgres``.

======================= ========================================================================
`store`                 the handle on one schema
`opening`               the options and checks; `session`: one connection, set up and known
`schema`                the tables, and how a schema comes to have them
`worker`                an engine on a thread of its own; `lanes` for pools that others hold
`engine`                transactions; `pipeline`: what is asked for goes in one trip; `values`
`source`                a pool in a transaction: `statements`
`look_ups`              what a batch declared to look up; `listings`: the beginnings of long ones
`reconnecting`          another connection where one was lost
`outcome`               what became of a COMMIT that nobody answered
`timelines`             servers that went on from another past
`bell`                  how others hear of a commit
`raw`                   one pool of it
`bodies`                the bodies of a handle; `content`: the SQL over them
`errors`                where the errors of a server become ours
======================= ========================================================================
"""

from agentpool.stores.postgres.store import PostgresAgentPoolStore

__all__ = ("PostgresAgentPoolStore",)
