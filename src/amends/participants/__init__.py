"""What stands between a saga's steps and the services that perform their actions."""
