"""A camera measured: parity with the simulator, rate and latency."""
