"""What a child of the gate runs; this folder is started by its path and imports nothing of flopline."""
