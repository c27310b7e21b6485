import os

import redis
from flask import Flask, request

app = Flask(__name__)
store = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def prepare():
    store.setnx("title", "Notes")


@app.post("/")
def write():
    store.rpush("notes", request.form["note"])
    return "written"


@app.get("/")
def read():
    return "\n".join([store.get("title"), *store.lrange("notes", 0, -1)])
