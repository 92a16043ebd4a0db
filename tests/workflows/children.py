"""What tests run in processes of their own."""

import os
import time

from notesmith.experiment.lock import run_lock
from notesmith.workflows.annotate import annotate
from notesmith.workflows.synthesize import synthesize
from tests.experiment.doubles import DOUBLES, doubles

# The doubles change a few words of a note: what repeats gold is not what is looked at here.
LOOSE = ["filter.copy_ratio=1.0", "filter.near_duplicate=1.0"]


def make(gold, out, **options):
    """Synthesize with the doubles."""
    return synthesize(gold, out, **{"changes": LOOSE, "instead": DOUBLES, **options})


def run_doubles(gold, out):
    """Synthesize slowly, to be killed."""
    os.environ["NOTESMITH_HOME"] = f"{out.parent}-home"
    make(gold, out, instead=doubles(0.01))


def hold(folder):
    """Hold the work folder of another command."""
    with run_lock(folder / "made.work"):
        (folder / "held").touch()
        time.sleep(60)


def run_annotate(notes, out, options):
    """Label notes, to be killed."""
    import torch

    torch.set_num_threads(1)
    os.environ["NOTESMITH_HOME"] = f"{out.parent}-home"
    annotate(notes, out, **options)


def hold_annotations(folder):
    """Hold the work folder of another call."""
    with run_lock(folder / "silver.work"):
        (folder / "held").touch()
        time.sleep(60)
