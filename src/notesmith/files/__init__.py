"""Files of ours and of users: written whole and privately, read within bounds; no content known."""
