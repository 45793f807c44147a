"""What labels become: pictures, overlays, files."""
