FROM python:3.13-slim
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir . gunicorn
EXPOSE 5000
CMD ["gunicorn", "--bind", "0.0.0.0:5000", "YOUR_MODULE:app"]
