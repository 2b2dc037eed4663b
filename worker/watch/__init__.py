"""An independent witness on Faust that reads topics only."""
