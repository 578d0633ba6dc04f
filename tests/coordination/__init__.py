"""Tests of `AgentPool` in several processes at once, over one file."""
