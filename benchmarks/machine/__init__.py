"""The machine: what it is, what it does at most, and what of it a run has used."""
