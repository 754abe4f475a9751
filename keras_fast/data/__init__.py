"""How does raw data become `(x, y)`?"""
