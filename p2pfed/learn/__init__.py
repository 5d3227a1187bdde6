"""Learning on one machine: tasks, the learner, and the workbench that does the core's jobs."""
