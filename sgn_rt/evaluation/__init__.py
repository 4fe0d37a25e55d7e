"""How good a separation is: the field's protocols, by their names, on a user's own data."""
