"""Search spaces: typed domains over the knobs of a native config, and how they are read from YAML."""
