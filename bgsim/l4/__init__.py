"""The L4 microkernel: threads, scheduling, IPC, vCPUs and the prices of its trap paths."""
