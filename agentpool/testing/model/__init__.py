"""The model check: the store in memory is the model that the store on SQLite is compared with.

A Hypothesis state machine takes random steps of the whole public API on both, one by one and
several at once, over two handles on one file, closes and opens it, and lets time go by on a clock
that both share. Results, errors and logs have to be equal. Of steps taken at once some order has
to exist that makes them so. Needs Hypothesis, and no test framework.

======================= =======================================================================
`steps`                 the steps, and how one is taken on a store
`values`                strategies for steps, from few names so that they meet
`model`                 the store in memory, which can go back to where it was
`machine`               the state machine
`command`               many runs of it
======================= =======================================================================
"""

__all__ = ()
