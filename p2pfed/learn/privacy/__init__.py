"""Differential privacy of training rows: mechanisms, and what they have cost so far."""
