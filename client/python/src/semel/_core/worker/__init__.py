"""The books of a worker: what it holds, what is to be sent, how far it is. Pure but for the steady clock: events come in,
actions go out. `course` is the whole; the shells perform what it asks for."""
