"""``python -m notesmith`` is the command line."""

from notesmith.cli import main

main()
