"""Video files: from frames and sound to one verified file, and back to facts about it."""
