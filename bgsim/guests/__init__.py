"""Guests: operating systems written once against the seam of ``bgsim.platforms``."""
