"""How do images become `(x, y)`?"""
