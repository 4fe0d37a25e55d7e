"""What needs a GPU to be checked on: what ``sgn-rt doctor`` runs."""
