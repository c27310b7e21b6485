"""What an app does with each engine: real clients, run in another container, which get a link's URL in $URL."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceClient:
    """Shell commands. ``write`` adds a record to $TABLE, made where need be; ``read`` prints how many are there;
    ``change`` alters what another login has made; ``hold`` connects, says `ready`, and stays until it is ended.
    """

    write: str
    read: str
    change: str
    hold: str
    shell: str = "sh"


VALKEY = 'valkey-cli --no-auth-warning -u "$URL"'
MARIADB = "MYSQL_PWD=$PASSWORD mariadb -h $HOST -P $PORT --skip-ssl -u $LOGIN -N -B shop"
MEMCACHED = "exec 3<>/dev/tcp/$HOST/$PORT; "
# amqp-get ends with 2 when the queue is empty.
AMQP_COUNT = """n=0; while :; do
  said=$(amqp-get -u "$URL" -q $TABLE-$((n + 1)) 2>&1); code=$?
  [ $code = 0 ] || [ $code = 2 ] || case $said in *404*|*NOT_FOUND*) break ;; *) echo "$said" >&2; exit 1 ;; esac
  n=$((n + 1))
done; """
# NATS's protocol is lines of text; streams are asked for by messages.
NATS = """rm -f /tmp/to; mkfifo /tmp/to; nc $HOST $PORT </tmp/to | { exec 3>/tmp/to
say() { printf '%s\\r\\n' "$@" >&3; }
wait_for() {
  while read -r line; do
    case $line in *"$1"*) return ;; -ERR* | *'"error"'*) echo "$line" >&2; exit 1 ;; esac
  done
  exit 1
}
js() { say "PUB \\$JS.API.$1.$TABLE inbox ${#2}" "$2"; }
say "CONNECT {\\"user\\":\\"$LOGIN\\",\\"pass\\":\\"$PASSWORD\\"}" PING
wait_for PONG
say "SUB inbox 1"
"""
CLIENTS = {
    "postgres": ServiceClient(
        write='psql -Xq -v ON_ERROR_STOP=1 "$URL" -c "CREATE TABLE IF NOT EXISTS $TABLE (id serial primary key, '
        'note text)" -c "INSERT INTO $TABLE (note) VALUES (\'hello\')"',
        read='psql -XAtq -v ON_ERROR_STOP=1 "$URL" -c "SELECT count(*) FROM $TABLE"',
        change='psql -Xq -v ON_ERROR_STOP=1 "$URL" -c "ALTER TABLE $TABLE ADD COLUMN IF NOT EXISTS more text"',
        hold='psql -XAtq "$URL" -c "SELECT \'ready\'" -c "SELECT pg_sleep(600)"',
    ),
    "valkey": ServiceClient(
        write=f'[ "$({VALKEY} -e RPUSH $TABLE hello)" -gt 0 ]',
        read=f"{VALKEY} -e LLEN $TABLE",
        change=f'[ "$({VALKEY} -e HSET $TABLE-more a 1)" -ge 0 ]',
        hold=f"(echo ECHO ready; echo BLPOP nothing 600) | {VALKEY}",
    ),
    "mariadb": ServiceClient(
        write=f"{MARIADB} -e 'CREATE TABLE IF NOT EXISTS '$TABLE' (id int auto_increment primary key, note text); "
        "INSERT INTO '$TABLE' (note) VALUES (\"hello\")'",
        read=f"{MARIADB} -e 'SELECT COUNT(*) FROM '$TABLE",
        change=f"{MARIADB} -e 'ALTER TABLE '$TABLE' ADD COLUMN IF NOT EXISTS more text'",
        hold=f"{MARIADB} --unbuffered -e 'SELECT \"ready\"; SELECT SLEEP(600)'",
    ),
    # Messages are not in a dump: what is counted here are queues.
    "rabbitmq": ServiceClient(
        write=AMQP_COUNT + 'amqp-declare-queue -u "$URL" -d -q $TABLE-$((n + 1))',
        read=AMQP_COUNT + "echo $n",
        change='amqp-publish -u "$URL" -r $TABLE-1 -b hello',
        hold='amqp-declare-queue -u "$URL" -q held >/dev/null && echo ready && amqp-consume -u "$URL" -q held cat',
    ),
    "memcached": ServiceClient(
        write=MEMCACHED + r"printf 'add '$TABLE' 0 0 1\r\n0\r\nincr '$TABLE' 1\r\nquit\r\n' >&3; grep -q '^[0-9]' <&3",
        read=MEMCACHED + r"printf 'get '$TABLE'\r\nquit\r\n' >&3; tr -d '\r' <&3 | grep -x '[0-9]*'",
        change=MEMCACHED + r"printf 'touch '$TABLE' 0\r\nquit\r\n' >&3; grep -q TOUCHED <&3",
        hold=MEMCACHED + "echo ready; sleep 600",
        shell="bash",  # for /dev/tcp
    ),
    "nats": ServiceClient(
        write=NATS
        + """js STREAM.CREATE "{\\"name\\":\\"$TABLE\\",\\"subjects\\":[\\"$TABLE\\"]}"; wait_for stream_create_response
          say "PUB $TABLE inbox 5" hello; wait_for '"seq"'; }""",
        read=NATS
        + r"""js STREAM.INFO ""; wait_for stream_info_response
          echo "$line" | sed -n 's/.*"messages":\([0-9]*\).*/\1/p'; }""",
        change=NATS
        + """js STREAM.UPDATE "{\\"name\\":\\"$TABLE\\",\\"subjects\\":[\\"$TABLE\\"],\\"max_msgs\\":9}"
          wait_for stream_update_response; }""",
        hold=NATS + "echo ready; while read -r line; do :; done; }",
    ),
}
