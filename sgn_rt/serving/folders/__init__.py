"""Recordings by the thousand, and what is known of each."""
