"""What each kind of model defines: its parameters, and the densities that they are parameters of."""
