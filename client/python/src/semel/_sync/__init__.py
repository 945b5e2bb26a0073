"""The blocking shell: it sends, waits and starts threads, and decides nothing; see `_core`."""
