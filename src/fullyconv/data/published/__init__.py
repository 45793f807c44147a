"""Published data sets, as their authors distribute them."""
