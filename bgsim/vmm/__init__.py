"""The user-level VMM: the server loop and its device models."""
