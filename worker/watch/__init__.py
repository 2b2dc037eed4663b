"""The watch: an independent process on Faust that reads topics only, and reports what is wrong."""
