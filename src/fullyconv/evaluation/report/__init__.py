"""The report: a page that shows how a run went and how well its network does."""
