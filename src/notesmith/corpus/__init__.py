"""Corpora on disk: readers, writers, splits, statistics and checks."""
