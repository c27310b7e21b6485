FROM ruby:3.4-slim
WORKDIR /app
COPY Gemfile* ./
RUN bundle install
COPY . .
EXPOSE 5000
CMD ["bin/rails", "server", "-b", "0.0.0.0", "-p", "5000"]
