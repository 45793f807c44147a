"""Data sets written in the formats of other tools, with the masks as outlines or as files."""
