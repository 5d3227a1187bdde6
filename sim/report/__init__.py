"""A run folder as one HTML page that needs no network."""
