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


VALKEY = 'valkey-cli --no-auth-warning -u "$URL"'
MARIADB = "MYSQL_PWD=$PASSWORD mariadb -h $HOST -P $PORT --skip-ssl -u $LOGIN -N -B shop"
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
}
