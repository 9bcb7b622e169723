"""What HTTP says. Pure: RFCs, no sites, no I/O, no clock."""
