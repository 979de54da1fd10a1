"""The receiver of providers' deliveries, apart from its routes."""
