"""One system from labelled documents to kept text, by one command or function.

Each is thin: it chooses settings for the documents that it is given, lets ``experiment`` compute
the cells, and writes what came of it beside one another.
"""
