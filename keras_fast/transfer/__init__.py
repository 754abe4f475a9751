"""Which layers does a model have, which of them train, and how?"""
