"""Scenarios of our own, one a file: ``run(subjects, setting, *, tell)`` gives figures."""
