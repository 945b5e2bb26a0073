"""What both APIs share: everything that decides. Nothing here does I/O, sleeps, locks or starts anything."""
