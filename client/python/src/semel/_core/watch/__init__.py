"""Watching: `reader` keeps a watch going, `course` knows where it is, `reconnect` what follows from a failure."""
