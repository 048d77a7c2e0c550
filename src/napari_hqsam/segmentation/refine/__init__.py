"""HQ boundaries for labels that exist: the numbers stay, only what lies near a boundary changes."""
