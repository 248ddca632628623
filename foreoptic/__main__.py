"""`python -m foreoptic`."""

from foreoptic.cli import main

main()
