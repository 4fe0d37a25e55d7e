"""From windows of the network to a stream of sound."""
