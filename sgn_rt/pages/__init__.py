"""Pages of HTML that need nothing beside them: what they are made of, and their pictures."""
