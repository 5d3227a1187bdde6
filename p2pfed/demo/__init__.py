"""The demonstration: real peers on this machine, one of them hostile, against each one alone."""
