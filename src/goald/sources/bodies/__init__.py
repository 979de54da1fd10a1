"""Bodies of deliveries: JSON, forms, multipart and CloudEvents, decoded with limits."""
