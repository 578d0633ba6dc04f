"""Examining a store without changing it: ``python -m agentpool doctor FILE|URL``.

======================= =======================================================================
`by_url`                a file, or a server
`report`                findings, and the exit code that they come to
`reader`                what the checks read of a store, by whatever engine; `file_reader` on files
`pools`                 the checks of what a store holds, all written for a `reader`:
`records`               every record of every pool, read once
`names`                 names that look alike
`checkpoints`           kept states against what the records replay to
`coordination`          the rows of a pool against its records; `rows` says how, by a `look`
`derived`               what else stands beside the records: times, bodies
`liveness`              what nobody has taken care of
`examination`           all checks of a file; those that only a file has:
`reading`               connecting to a file so that nothing is left behind
`processes`             who has a file open, and who reads it right now
`environment`           the SQLite library, the mount, permissions, modes
`file`                  the write-ahead log, the pages, the schema
`promises`              what a power cut may have taken
`server`                all checks of a server
`quick`                 the part that does not read the file
======================= =======================================================================
"""

from agentpool.doctor.by_url import examine
from agentpool.doctor.report import Finding, Level, Report

__all__ = ("Finding", "Level", "Report", "examine")
