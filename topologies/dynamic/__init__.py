"""Who talks to whom when it changes from round to round."""
