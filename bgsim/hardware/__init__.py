"""The parts of one node: buses, interrupt controller, DMA engine, collective device, timers."""
