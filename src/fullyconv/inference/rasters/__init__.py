"""Files of any size, labelled by window."""
