"""What runs beside an opened pool: waiting for what concerns somebody, and upkeep.

======================= ========================================================================
`opened`                an opened pool of a handle: what members and inboxes share
`waiting`               waiting for something in one pool
`upkeep`                the background task that keeps the promises of time; `overdue` beside it
`heartbeat`             renewing what the objects of a handle hold
`drafts`                messages as their senders think of them
`bodies`                the bodies of messages and events: kept, and read back
`taking`                claiming from an inbox, or waiting for something to claim
`asking`                questions, until it is certain what comes of them
`events`                following the events of a pool
`finding`               messages by their id
`telling`               what the log of the program is told; `tracing` for who looks on
======================= ========================================================================
"""
