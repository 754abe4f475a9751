"""Models of tables and ratings."""
