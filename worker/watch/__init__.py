"""An independent watch over the bridge, on Faust, that reads topics only."""
