"""Workflows: one command or function takes labelled documents to kept text, or to voters.

Each workflow is thin. It chooses settings for the documents that it is given, lets ``experiment``
compute the cells, and writes the output and the files that belong to it.
"""
