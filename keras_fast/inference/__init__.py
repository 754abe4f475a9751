"""What does a trained model predict, and why? None of it changes the model."""

from keras_fast.inference.cam import GradCAM, grad_cam
from keras_fast.inference.column_embeddings import (
    ColumnEmbedding,
    embeddings,
)
from keras_fast.inference.confusion import (
    ConfusionMatrix,
    confusion_matrix,
    most_confused,
)
from keras_fast.inference.generation import TextGenerator
from keras_fast.inference.importance import (
    FeatureImportance,
    feature_importance,
)
from keras_fast.inference.landscape import LossLandscape, loss_landscape
from keras_fast.inference.losses import TopLosses, top_losses
from keras_fast.inference.results import show_results
from keras_fast.inference.text_heatmaps import TextHeatmap, text_heatmap
from keras_fast.inference.thresholds import LabelReport, label_report
from keras_fast.inference.views import corners_and_flips, dihedral, flips

__all__ = [
    "ColumnEmbedding",
    "ConfusionMatrix",
    "FeatureImportance",
    "GradCAM",
    "LabelReport",
    "LossLandscape",
    "TextGenerator",
    "TextHeatmap",
    "TopLosses",
    "confusion_matrix",
    "corners_and_flips",
    "dihedral",
    "embeddings",
    "feature_importance",
    "flips",
    "grad_cam",
    "label_report",
    "loss_landscape",
    "most_confused",
    "show_results",
    "text_heatmap",
    "top_losses",
]
