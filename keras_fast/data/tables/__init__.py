"""How do tables become arrays?"""
