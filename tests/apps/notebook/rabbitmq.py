import os

import pika
from flask import Flask, request

app = Flask(__name__)


def channel():
    return pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"])).channel()


def prepare():
    channel().queue_declare("notes", durable=True)


@app.post("/")
def write():
    persistent = pika.BasicProperties(delivery_mode=2)
    channel().basic_publish("", "notes", request.form["note"].encode(), persistent)
    return "written"


@app.get("/")
def read():
    """Looks at the messages, and leaves them: they were never acknowledged when the connection ends."""
    found, opened = ["Notes"], channel()
    while (got := opened.basic_get("notes"))[0] is not None:
        found.append(got[2].decode())
    opened.connection.close()
    return "\n".join(found)
