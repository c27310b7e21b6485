import os

import click
import psycopg2
from flask import current_app, g
from psycopg2.extras import DictCursor


class Database(psycopg2.extensions.connection):
    """With sqlite3's shortcut, which the tutorial uses."""

    def execute(self, query, values=()):
        cursor = self.cursor()
        cursor.execute(query, values)
        return cursor


def get_db():
    if "db" not in g:
        g.db = psycopg2.connect(os.environ["DATABASE_URL"], connection_factory=Database, cursor_factory=DictCursor)
    return g.db


def close_db(e=None):
    db = g.pop("db", None)
    if db is not None:
        db.close()


@click.command("init-db")
def init_db_command():
    """Create the tables that are not there yet."""
    with current_app.open_resource("schema.sql") as f:
        get_db().execute(f.read().decode("utf8"))
    get_db().commit()
    click.echo("Initialized the database.")


def init_app(app):
    app.teardown_appcontext(close_db)
    app.cli.add_command(init_db_command)
