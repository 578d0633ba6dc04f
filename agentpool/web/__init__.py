"""The live page: ``agentpool web``, in a process of its own (extra ``web``).

======================= =======================================================================
`html`                  HTML in which what others wrote is escaped
`gate`                  who may see it, and what every answer says to the browser
`parts`                 the frame, tables, links
`entries`               the log as entries: a page of it, and what comes; `lines` writes them
`survey`                the members, gone through some at a time
`glance`                what else is looked at for *Now*, little of each
`waiting`               who waits for whom; `picture` draws it
`now`                   the view *Now*
`log`                   the view *Log*
`message`               the view *Message*
`health`                the view *Health*; `examining` lets the doctor look
`inside`                the store and its pools, for all of them
`pages`                 what each page is asked for
`stream`                what comes, as server-sent events
`app`                   which page stands where
`serving`               the server
======================= =======================================================================

It reads only, by questions that are bounded however long the log is and however many members there
are: nothing is followed, carried out or kept open, no bell is rung for it. While something comes it
looks once a second, and shows so much of it.
"""
