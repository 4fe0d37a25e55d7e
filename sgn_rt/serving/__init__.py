"""Separation as a service: folders, clusters, a server, Triton."""
