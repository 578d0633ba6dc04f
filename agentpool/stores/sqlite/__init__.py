"""The store in one SQLite file, shared by any number of processes of one machine.

======================= ========================================================================
`store`                 the handle on one file
`opening`               the options and checks; `safety` of the library and the mount, `forks`
`schema`                the tables, and how a file comes to have them
`connection`            a connection on a thread of its own; `memory`: what it remembers
`engine`                transactions; `promises`, where a commit does not wait for the disk
`source`                a pool in a transaction: `statements`, `written`
`log`                   what has changed in the file; `listing`: also past what is damaged
`doorbell`              how others hear of a commit: `bell_files`, `inotify`
`foreign_writes`        how all hear of what other programs write
`place`                 the one name of a file; `moved_file` tells when it is gone
`time`                  the time of a file, the same in all processes
`backfill`              copying the write-ahead log into the file
`backup`                a copy as of one moment; `raw`: one pool of it
`bodies`                the bodies of a handle; `content`: the SQL over them
`errors`                where the errors of SQLite become ours
======================= ========================================================================
"""

from agentpool.stores.sqlite.store import SqliteAgentPoolStore

__all__ = ("SqliteAgentPoolStore",)
