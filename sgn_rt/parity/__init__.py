"""An engine compared with the reference: at start-up, in CI, and while it runs."""
