"""Recipes of several fits."""
