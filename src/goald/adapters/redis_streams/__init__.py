"""Redis Streams behind the ports: Redis 6.2 or newer, and Valkey."""

from goald.adapters.redis_streams.control import RedisControlStream
from goald.adapters.redis_streams.events import RedisEventStream
from goald.adapters.redis_streams.outbound import RedisOutbound

__all__ = ["RedisControlStream", "RedisEventStream", "RedisOutbound"]
