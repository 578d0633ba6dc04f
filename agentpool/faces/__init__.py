"""What the faces of the library have in common: the command line, the page, the server for MCP.

======================= =======================================================================
`naming`                messages by what names them, and whom an address means
`mail`                  what lies in an inbox, and who has what of it
======================= =======================================================================
"""

__all__ = ()
