"""A store in batches, whatever the engine: group commit, decisions, look-ups, states.

======================= ========================================================================
`store`                 what every store on an engine is
`group_commit`          the queue of commands: what waits is the next batch
`committer`             one write transaction: the commands of a batch decide, one after another
`view`                  a pool in that transaction; `merged_rows` are its rows
`source`                what an engine provides
`engine_errors`         where the errors of an engine become ours
`states`                the small states of pools that are kept
`reads`                 questions on one connection, those that somebody waits for first
`bodies`                keeping bodies, large ones piece by piece
`raw`                   a pool byte for byte, for who takes it elsewhere; `streams` of its items
======================= ========================================================================
"""
