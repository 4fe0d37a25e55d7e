"""What is timed: engines of the bundle, and what somebody would take instead."""
