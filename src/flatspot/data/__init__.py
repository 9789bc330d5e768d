"""From a file or a generator to windows: read, split by time, scale, serve."""
