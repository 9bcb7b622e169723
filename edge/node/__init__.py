"""The data plane: one process a core. Sockets, memory, read-only disk."""
