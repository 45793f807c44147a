"""Images that are read and labelled window by window: TIFF, BigTIFF, GeoTIFF, whole slides."""
