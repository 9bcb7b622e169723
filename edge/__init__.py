"""Edge: a self-hosted CDN node. The house is described in `edge/README.md`."""
