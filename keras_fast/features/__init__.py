"""The cache of what a frozen network computes."""
