"""Training code that the user brings along: a function or a command, declared in the search's YAML."""
