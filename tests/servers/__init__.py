"""Local servers that speak the wire formats of providers, with the bundled model behind them."""
