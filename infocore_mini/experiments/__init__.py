"""The book's experiments as functions: a notebook calls them, and so does the command line for long runs."""
