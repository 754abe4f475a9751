"""Which layers are there, which of them train, and how?"""
