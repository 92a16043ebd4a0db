"""The clean server process that tests fork children from, not from their own with its threads.

A process of tests has one such server, which takes what it loads from whoever spoke last, so it is
said here for all. PyTorch and the models are loaded there once, and no child loads them again.
"""

import multiprocessing

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "tests.lm.tiny",
        "tests.ner.tiny",
        "tests.workflows.children",
        "accelerate",
        "notesmith.experiment.run",
        "notesmith.experiment.stages",
        "notesmith.lm.training.sft",
        "notesmith.ner.train",
    ]
)
