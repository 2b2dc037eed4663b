"""Repairs what keeps a lane from publishing, one file per repair."""
