"""Message traces: what each rank of a program computes, sends and receives, read from files."""
