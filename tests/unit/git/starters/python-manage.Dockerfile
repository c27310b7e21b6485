FROM python:3.13-slim
WORKDIR /app
RUN pip install --no-cache-dir django gunicorn
COPY . .
EXPOSE 5000
CMD ["gunicorn", "--bind", "0.0.0.0:5000", "shop.wsgi"]
