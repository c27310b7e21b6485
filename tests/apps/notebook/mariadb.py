import os

import pymysql
from flask import Flask, request

app = Flask(__name__)


def database():
    return pymysql.connect(
        host=os.environ["DATABASE_HOST"],
        port=int(os.environ["DATABASE_PORT"]),
        user=os.environ["DATABASE_USER"],
        password=os.environ["DATABASE_PASSWORD"],
        database=os.environ["DATABASE_NAME"],
        autocommit=True,
    )


def run(query, *values):
    with database() as connection, connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


def prepare():
    run("CREATE TABLE IF NOT EXISTS notes (id INT AUTO_INCREMENT PRIMARY KEY, note TEXT)")


@app.post("/")
def write():
    run("INSERT INTO notes (note) VALUES (%s)", request.form["note"])
    return "written"


@app.get("/")
def read():
    return "\n".join(["Notes", *(note for (note,) in run("SELECT note FROM notes ORDER BY id"))])
