"""What labels are turned into: pictures, overlays, files."""
