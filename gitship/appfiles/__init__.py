"""Files in an app's repository (Procfile, app.json, gitship.toml) and the overrides set by command. Pure."""
