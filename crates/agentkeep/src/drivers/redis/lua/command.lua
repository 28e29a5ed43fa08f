#!lua flags=no-writes
-- One command that reads, as it is.
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
