"""The run file: what it may say, and the peer that it describes."""
