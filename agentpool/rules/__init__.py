"""What may happen in a pool, and what follows from it. Pure: no I/O, no clock, no event loop.

======================= =======================================================================
`command`               the terms: what a command looks at, and what it decides
`log`                   the records themselves: opening, members, messages and wakes as recorded
`replay`, `open_wakes`  what a log means
`rows`                  the rows beside the log, and what their values mean
`membership`            joining with a lease, leaving, heartbeats
`sending`               resolving recipients, sending, answers and their contracts
`claims`                inboxes: take, renew, acknowledge, return
`waits`                 registering a wait, or ending it with what has already happened
`host_events`           events that a host publishes
`record_events`         the event that a record is
`history`               the events of records and hosts, in order
`deadlines`             what is due
`consequences`          the driver: works every record, whoever wrote it, into the rows
======================= =======================================================================
"""
