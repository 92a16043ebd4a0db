"""What is done to the project on purpose: damage, kills, full disks, hostile files.

One set of tests, two sizes. ``make test`` runs a short part of each; ``make faults`` runs all of it
(``--full``) and prints the table of ``docs/reliability.md``.
"""
