"""How large what a program hands over may be; apart, so that checking does not import the guests."""

DATAGRAM_BYTES_MAX = 65_507
"""Most a datagram can carry: the length field of IP counts up to 65,535 bytes, 28 of headers among them."""
