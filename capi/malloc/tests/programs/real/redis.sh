# A server on a socket of its own, asked for the same things each time.
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
socket=$folder/socket
redis-server --port 0 --unixsocket "$socket" --save "" --appendonly no --dir "$folder" \
    --daemonize no --enable-debug-command yes >"$folder/log" 2>&1 &
server=$!
ask() { redis-cli -s "$socket" "$@"; }
turn=0
until [ "$(ask ping 2>/dev/null)" = PONG ]; do
    turn=$((turn + 1))
    [ $turn -lt 200 ] || { cat "$folder/log"; exit 1; }
    sleep 0.05
done
ask eval 'for i = 1, 50000 do
    redis.call("set", "key" .. (i % 20000), ("x"):rep(i % 500))
    redis.call("hset", "hash" .. (i % 100), i, i * 3)
    redis.call("rpush", "list" .. (i % 50), "value" .. i)
    redis.call("zadd", "scores", i * 7919 % 10007, "member" .. i)
    if i % 7 == 0 then redis.call("del", "key" .. (i % 977)) end
end
return redis.call("dbsize")' 0
ask strlen key1499
ask hlen hash7
ask lrange list3 0 5
ask zrange scores 100 120
ask zcard scores
ask del list4 list5 hash7
ask debug digest
ask flushall
ask dbsize
ask shutdown nosave
wait $server
