"""The commands of this package: `pulso decode`, `pulso things`, `pulso rejected`."""
