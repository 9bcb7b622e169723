"""The control plane: one process. Admin API, disk, certificate authorities."""
