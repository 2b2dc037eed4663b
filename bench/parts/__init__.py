"""The parts of the benchmark; each can be measured by itself."""
