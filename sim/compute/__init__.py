"""How the jobs of simulated peers are computed: one after the other, or many at once.

`calculator` is the interface, and what does a job when it is due; `batched` does with it all that
have started by then. What peers do at once stands in `trainings` and `integrations`, with the
stacks of `stacked` and the rules of `crowd_rule`, which `sim.rounds` has as well. Virtual time
knows nothing of it: a job takes what `sim.jobs.ComputeModel` says.
"""
