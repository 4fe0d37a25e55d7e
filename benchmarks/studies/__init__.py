"""Studies: each answers one question, with ``python -P -m sgn_rt.benchmarks.studies.NAME``."""
