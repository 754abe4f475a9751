"""How do texts become batches of ids?"""
