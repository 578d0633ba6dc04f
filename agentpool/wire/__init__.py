"""What can stand in a log, and its bytes. Pure: no I/O, no clock, no event loop.

======================= ========================================================================
`records`               what can be in a log; `snapshot`: what a log means at one moment
`events`                the envelope of an event; `event_kinds`, and `filters` for them
`refs`                  references to policies, entities, sources and destinations
`ids`                   identifiers, and the bounds of integers
`struct`                the base of all structs, and the check of values built in Python
`codec`                 bytes to structs and back; `strict` looks at every token of what is unusual
`payload`               the payload of a record, on its way in and out
`bodies`                text, bytes and values as bodies; `content` for the refs that name them
`trace`                 where a message carries the trace that it was sent in
`refused`               errors that carry a value of the wire format
======================= ========================================================================
"""
