"""The networks of the machine: torus and collective, packet by packet, and their topologies."""
