"""The cache of a frozen network's features."""
