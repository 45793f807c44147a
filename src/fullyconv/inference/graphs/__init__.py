"""Exported files read as data: what is checked before a runtime opens them, and torch.export's program run by us."""
