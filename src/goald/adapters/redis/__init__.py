"""Redis Streams behind the ports: Redis 6.2 or newer, and Valkey."""

from goald.adapters.redis.control import RedisControlStream
from goald.adapters.redis.events.history import RedisEventHistory
from goald.adapters.redis.events.stream import RedisEventStream
from goald.adapters.redis.outbound import RedisOutbound

__all__ = ["RedisControlStream", "RedisEventHistory", "RedisEventStream", "RedisOutbound"]
