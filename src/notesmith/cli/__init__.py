"""The command line: parses, then calls. ``main`` prepares the process before libraries load."""

from __future__ import annotations


def main() -> None:
    """Run ``notesmith``; the entry point of the console script."""
    from notesmith.cli.process import prepare

    prepare()
    from notesmith.cli.app import run

    run()
