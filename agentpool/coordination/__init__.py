"""What the commands of a coordinated pool decide: sending, inboxes, waits, deadlines.

Pure, but for the driver: `projection` applies what the others decide to a transaction.

======================= =======================================================================
`rows`                  the rows beside the log, and what their values mean
`membership`            joining with a lease, leaving, heartbeats
`delivery`              resolving recipients, sending, answers and their contracts
`inbox`                 claims: take, renew, acknowledge, return
`wakes`                 registering a wait, or ending it with what has already happened
`publishing`            host events
`record_events`         the event that a record is
`history`               the events of records and hosts, in order
`deadlines`             what is due
`projection`            the driver: works every record, whoever wrote it, into the rows
======================= =======================================================================
"""
