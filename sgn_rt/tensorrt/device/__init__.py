"""The GPU as this package sees it: memory, copies, streams, events, graphs; nothing else."""
