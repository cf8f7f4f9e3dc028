#!/bin/sh
# Run once by PostgreSQL's image, on an empty volume: the database and its owner, who is no superuser.
set -eu
psql --set ON_ERROR_STOP=1 --set password="$FER_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE fer LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE fer OWNER fer;
REVOKE ALL ON DATABASE fer FROM PUBLIC;
SQL
