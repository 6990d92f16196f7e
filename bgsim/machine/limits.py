"""How large one operation of the machine tier may be; apart, so that checking does not import the tier."""

MESSAGES_MAX = 20_000_000
"""More messages than this in one graph are refused; the tables would take several GiB."""

NODE_PACKETS_MAX = 5 * 10**10
"""Packets of an operation over the collective network times nodes they pass: about half an hour, at
16 to 50 ns each on one core, as measured."""
