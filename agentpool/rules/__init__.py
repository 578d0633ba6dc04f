"""What may happen in a pool, and what follows from it. Pure: no I/O, no clock, no event loop.

======================= =======================================================================
`command`               the terms: what a command looks at, and what it decides
`requirements`          what commands require: an opened pool, a member, arguments of their types
`transitions`           which status may follow which
`replay`, `open_wakes`  what a log means
`rows`                  the rows beside the log, and what their values mean
`pool_opening`          opening a pool with its config
`awaited_members`       starting together: whether those are there who are waited for
`membership`            joining, with or without a lease, leaving, heartbeats
`holding`               who holds a run: one block, in one process
`messages`              recording messages and what becomes of them
`recipients`            who receives a message, and why others do not
`sending`               sending, and what a delivery means
`sending_many`          several messages in one transaction
`queues`                runs that nobody is, whose messages go to one of many
`asking`                a question, and what comes of it
`answers`               counting the answers to a question, keeping them for who asked
`expiring_messages`     what becomes of a message when its time is up
`delayed_messages`      what comes into the inboxes later than it is recorded
`inboxes`               what is in an inbox, and in which order it is handed out
`claims`                what a claim is; renew it, acknowledge
`claiming`              take messages, and move out of the way what is not to be had
`redelivery`            return a message, and when it comes again
`tokens`                what names a claim outside of its process
`dead`                  messages that failed too often
`wakes`                 recording wakes and how they end
`waits`                 registering a wait, or ending it with what has already happened
`topics`                what a transaction concerns, so that only those are woken
`host_events`           events that a host publishes, and their numbers
`own_events`            events of an agent's own
`record_events`         the event that a record is
`scoping`               what a pool lets a filter see
`history`               the events of records and hosts, in order
`deadlines`             what is due
`backlog`               what waits in a pool, in numbers; `summary`: what a list of pools says
`explaining`            why things are as they are: a folder of its own
`alike`                 names that people take for one another
`consequences`          the driver: works every record, whoever wrote it, into the rows
======================= =======================================================================
"""
