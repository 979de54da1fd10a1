"""Ray: the cluster, the actors, and the supervisor that starts them."""
