"""What does the trained model say, and why? None of it changes the model."""

from keras_fast.inference.confusion_matrix import (
    ConfusionMatrix,
    confusion_matrix,
    most_confused,
)
from keras_fast.inference.grad_cam import GradCAM, grad_cam
from keras_fast.inference.top_losses import TopLosses, top_losses
from keras_fast.inference.views import corners_and_flips, dihedral, flips

__all__ = [
    "ConfusionMatrix",
    "GradCAM",
    "TopLosses",
    "confusion_matrix",
    "corners_and_flips",
    "dihedral",
    "flips",
    "grad_cam",
    "most_confused",
    "top_losses",
]
