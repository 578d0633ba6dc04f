"""Explaining: why a message, a wake, a run or a queue is as it is. Reads only, and not much.

================== ============================================================================
`finding`          what has a name, and the explanation of that; `by_id`: messages by their id
`explanations`     what is given: one type for each kind of thing
`parts`            what explanations are made of
`messages`         whom a message reached, and what has come of it with each
`missed`           who did not receive it, and why; `nobody`, as an error says it
`wakes`            what a wake waits for, and which events came near
`runs`             runs, agents and queues
`presence`         whether a run is here; `overview`: a pool at a glance
`awaiting`         who waits for whom
`inboxes`          what is in an inbox, and who has it
`names`            names that may be meant, or taken for another
`words`            all of it in words, from `message_words`, `wake_words`, `run_words` and `phrases`
================== ============================================================================
"""
