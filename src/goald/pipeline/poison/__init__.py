"""Events that a process cannot survive: delivery attempts, isolation, circuit breaker."""
