"""Repairs whatever keeps a lane from publishing, one file per repair; ``plan`` puts them in order."""
