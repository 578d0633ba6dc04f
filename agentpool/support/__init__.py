"""Small helpers without a domain.

======================= ========================================================================
`clock`                 the one clock
`tasks`                 running something to its end, or for so long; `loop`: asyncio, and no other
`opening`               something about to be opened
`places`                where a store is, by a path or a URL, and what of it may be shown
`process`               the names of this process, and of this run of its machine
`switching`             threads in a hurry beside one that computes
`version`               the version of this library
======================= ========================================================================
"""
