FROM debian:stable-slim
WORKDIR /app
COPY . .
EXPOSE 5000
CMD ["./YOUR-PROGRAM"]
