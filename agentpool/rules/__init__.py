"""What may happen in a pool, and what follows from it. Pure: no I/O, no clock, no event loop.

======================= =======================================================================
`command`               the terms: what a command looks at, and what it decides
`requirements`          what commands require: an opened pool, a member, arguments of their types
`transitions`           which status may follow which
`replay`, `open_wakes`  what a log means
`rows`                  the rows beside the log, and what their values mean
`pool_opening`          opening a pool with its config
`membership`            joining, with or without a lease, leaving, heartbeats
`messages`              recording messages and what becomes of them
`recipients`            who receives a message, and why others do not
`sending`               sending, and what a delivery means
`answers`               questions: counting their answers, keeping them for who asked
`endings`               what becomes of a message when its time is up
`inboxes`               what is in an inbox, and in which order it is handed out
`claims`                take a message, renew the claim, acknowledge, return
`dead`                  messages that failed too often
`wakes`                 recording wakes and how they end
`waits`                 registering a wait, or ending it with what has already happened
`host_events`           events that a host publishes, and their numbers
`record_events`         the event that a record is
`history`               the events of records and hosts, in order
`deadlines`             what is due
`explaining`            why things are as they are: a folder of its own
`alike`                 names that people take for one another
`consequences`          the driver: works every record, whoever wrote it, into the rows
======================= =======================================================================
"""
