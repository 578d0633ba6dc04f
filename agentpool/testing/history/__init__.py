"""Histories: what callers were told, held against what is stored. Needs no test framework.

Processes that use one store write down each call, when it began, when it returned and with what.
`check` then says what of it a store must not have done: an acknowledged effect that is missing, a
record that nobody asked for, a key with two messages, an order that contradicts time, a watcher
that was shown something else, a wake with two ends, a message acknowledged twice, a wait that ended
before its time, a run that two held or that was taken from a process that was well. What was killed
or cancelled may have happened or not.

======================= =======================================================================
`calls`                 a call, and the journals that calls are written to
`evidence`, `ledger`    what a store holds in the end, and where calls are found in it
`checks`                `check`: everything below, as a list of violations
`checks_of_order`       the log: gapless, and in the order of real time
`checks_of_records`     records and the calls that they come from, both ways
`checks_of_wakes`       wakes, their events and their one end
`checks_of_inboxes`     claims and acknowledgements
`checks_of_watchers`    what watchers saw
`checks_of_presence`    runs that are held: by one, as long as it is well, or it is told
`checks_of_time`        waits and claims that end before their time
`worker`, `matters`     a process that makes random calls and writes them down, and on what
`caller`, `held_run`    how it makes one, and what it does with a run that it holds
`wall`                  a wall clock that jumps
`processes`             running such a process, stopping it for a while, killing it
`stress`                several of them over one file, and the verdict
`command`               many such rounds
======================= =======================================================================
"""

from agentpool.testing.history.calls import Call, Journal, read_journals
from agentpool.testing.history.checks import check
from agentpool.testing.history.evidence import Evidence, gather, settled
from agentpool.testing.history.stress import Round, Verdict, run_round

__all__ = (
    "Call",
    "Evidence",
    "Journal",
    "Round",
    "Verdict",
    "check",
    "gather",
    "read_journals",
    "run_round",
    "settled",
)
