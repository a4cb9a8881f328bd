#!/bin/sh
# Makes the password file from the environment, so that no secret lies in a file of the repository, and starts.
set -eu

passwords=/run/mosquitto/passwords
umask 077
: >"$passwords"

add() {
    mosquitto_passwd -b "$passwords" "$1" "$2"
}

add pulso-ingest "$PULSO_MQTT_INGEST_PASSWORD"
add pulso-sim "$PULSO_MQTT_SIM_PASSWORD"
add pulso-device "$PULSO_MQTT_DEVICE_PASSWORD"
add pulso-gateway "$PULSO_MQTT_GATEWAY_PASSWORD"
unset PULSO_MQTT_INGEST_PASSWORD PULSO_MQTT_SIM_PASSWORD PULSO_MQTT_DEVICE_PASSWORD PULSO_MQTT_GATEWAY_PASSWORD

exec mosquitto -c /mosquitto/config/mosquitto.conf
