"""The table of objects, what is done with them, and proofreading them one by one."""

from napari_hqsam.plugin.objects.features import LayerFeatures, with_features
from napari_hqsam.plugin.objects.widget import ObjectsWidget

__all__ = ["LayerFeatures", "ObjectsWidget", "with_features"]
