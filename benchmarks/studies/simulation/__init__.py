"""Many streams on a simulated clock: the hub's own scheduler, service times of a model."""
