"""Tests of the store on real files, with real processes."""
