"""MLPerf inference's four scenarios, put to engines by its own load generator."""
