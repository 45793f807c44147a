"""The settings of a run, section by section: their types, defaults and limits. Loads no torch."""
