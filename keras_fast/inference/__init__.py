"""What does the trained model say, and why?"""

from keras_fast.inference.views import corners_and_flips, dihedral, flips

__all__ = ["corners_and_flips", "dihedral", "flips"]
