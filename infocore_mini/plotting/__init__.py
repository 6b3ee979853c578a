"""Every figure of the book. Each function returns a matplotlib figure; one palette for all chapters."""
