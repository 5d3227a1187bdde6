"""The whole protocol of a peer as a function of events: no IO, no clock, no torch."""
