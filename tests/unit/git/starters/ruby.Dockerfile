FROM ruby:3.4-slim
WORKDIR /app
COPY Gemfile* ./
RUN bundle install
COPY . .
EXPOSE 5000
CMD ["bundle", "exec", "rackup", "--host", "0.0.0.0", "--port", "5000"]
