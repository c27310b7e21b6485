"""Suggests a Dockerfile for a commit without one, by its language."""

from __future__ import annotations

from collections.abc import Collection

_PYTHON = """\
FROM python:3.13-slim
WORKDIR /app
{before}COPY . .
{after}EXPOSE 5000
CMD {command}
"""
_NODE = """\
FROM node:22-slim
WORKDIR /app
COPY package*.json ./
RUN {install}
COPY . .
EXPOSE 5000
CMD ["npm", "start"]
"""
_GO = """\
FROM golang:1.24 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -o /app .

FROM scratch
COPY --from=build /app /app
EXPOSE 5000
CMD ["/app"]
"""
_RUBY = """\
FROM ruby:3.4-slim
WORKDIR /app
COPY Gemfile* ./
RUN bundle install
COPY . .
EXPOSE 5000
CMD {command}
"""
_RUST = """\
FROM rust:1 AS build
WORKDIR /src
COPY . .
RUN cargo install --path . --root /out

FROM debian:stable-slim
COPY --from=build /out/bin/ /usr/local/bin/
EXPOSE 5000
CMD ["YOUR-BINARY"]
"""
_PHP = """\
FROM php:8.4-apache
WORKDIR /var/www/html
COPY --from=composer:2 /usr/bin/composer /usr/local/bin/
COPY . .
RUN composer install --no-dev
EXPOSE 80
"""
_STATIC = """\
FROM nginx:alpine
COPY . /usr/share/nginx/html
EXPOSE 80
"""
_GENERIC = """\
FROM debian:stable-slim
WORKDIR /app
COPY . .
EXPOSE 5000
CMD ["./YOUR-PROGRAM"]
"""


def starting_dockerfile(paths: Collection[str]) -> tuple[str, str]:
    """(language, Dockerfile) for a tree with these paths; "" is the language when none is recognised.

    The server in it listens on 0.0.0.0 at the port that it EXPOSEs.
    """
    top = {path for path in paths if "/" not in path}
    if "manage.py" in top or "requirements.txt" in top or "pyproject.toml" in top:
        return "Python", _python(top, paths)
    if "package.json" in top:
        install = "npm ci --omit=dev" if "package-lock.json" in top else "npm install --omit=dev"
        return "Node.js", _NODE.format(install=install)
    if "go.mod" in top:
        return "Go", _GO
    if "Gemfile" in top:
        rack = '["bundle", "exec", "rackup", "--host", "0.0.0.0", "--port", "5000"]'
        rails = '["bin/rails", "server", "-b", "0.0.0.0", "-p", "5000"]'
        return "Ruby", _RUBY.format(command=rails if "bin/rails" in paths else rack)
    if "Cargo.toml" in top:
        return "Rust", _RUST
    if "composer.json" in top:
        return "PHP", _PHP
    if "index.html" in top:
        return "static pages", _STATIC
    return "", _GENERIC


def _python(top: Collection[str], paths: Collection[str]) -> str:
    before = after = ""
    if "requirements.txt" in top:
        before = "COPY requirements.txt .\nRUN pip install --no-cache-dir -r requirements.txt gunicorn\n"
    elif "pyproject.toml" in top:
        after = "RUN pip install --no-cache-dir . gunicorn\n"
    else:
        before = "RUN pip install --no-cache-dir django gunicorn\n"
    return _PYTHON.format(before=before, after=after, command=_wsgi(top, paths))


def _wsgi(top: Collection[str], paths: Collection[str]) -> str:
    """gunicorn with the module that looks most like the application: Django's, else app.py, wsgi.py, main.py."""
    django = sorted(path for path in paths if path.endswith("/wsgi.py") and path.count("/") == 1)
    if "manage.py" in top and django:
        module = django[0].removesuffix(".py").replace("/", ".")
    else:
        name = next((name for name in ("app", "wsgi", "main") if f"{name}.py" in top), "YOUR_MODULE")
        module = f"{name}:app"
    return f'["gunicorn", "--bind", "0.0.0.0:5000", "{module}"]'
