"""What an annotator does: prompts, objects, every step undoable, written ahead to a journal."""
