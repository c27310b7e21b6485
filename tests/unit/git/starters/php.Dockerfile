FROM php:8.4-apache
WORKDIR /var/www/html
COPY --from=composer:2 /usr/bin/composer /usr/local/bin/
COPY . .
RUN composer install --no-dev
EXPOSE 80
