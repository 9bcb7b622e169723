"""What the operator means. Pure: hosts, branches, rules, manifests; no I/O, no clock."""
