"""`python -m search`: the same command as `schedule-search`."""

from search.cli.command import main

main()
