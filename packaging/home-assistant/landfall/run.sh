#!/usr/bin/env bash
# Turns the add-on's options into Landfall's settings, and runs the home server as a user of its own.
set -euo pipefail
# Home Assistant's places; tests have others.
options="${ADDON_OPTIONS:-/data/options.json}"
data="${ADDON_DATA:-/data/landfall}"
supervisor="${ADDON_SUPERVISOR:-http://supervisor}"
umask 077

option() {
    jq --raw-output --arg key "$1" 'if .[$key] == null then "" else .[$key] | tostring end' "$options"
}

install -d -m 0700 "$data"

# The page for the whole network, encrypted by an authority of Landfall's own.
export LANDFALL_PAGE_LISTEN="0.0.0.0:$(option page_port)"
export LANDFALL_PAGE_TLS=own

if [[ -n "${TZ:-}" ]]; then
    export LANDFALL_HOME_TIME_ZONE="$TZ"
fi
price="$(option price)"
if [[ -n "$price" ]]; then
    export LANDFALL_HOME_PRICE="$price"
fi
currency="$(option currency)"
if [[ -n "$currency" ]]; then
    export LANDFALL_HOME_CURRENCY="$currency"
fi

if [[ "$(option cloud)" == true ]]; then
    export LANDFALL_CLOUD_HTTP=0.0.0.0:80 LANDFALL_CLOUD_HTTPS=0.0.0.0:443
    export LANDFALL_CLOUD_MQTTS=0.0.0.0:8883 LANDFALL_CLOUD_MQTT_PSK=0.0.0.0:8886
    # Home Assistant's broker has 1883 on most machines; only the oldest firmware needs it of us.
    if [[ "$(option mqtt)" == home_assistant ]]; then
        export LANDFALL_CLOUD_MQTT=off
        echo "landfall: port 1883 is left to Home Assistant's broker; devices of generation A can't come" >&2
    else
        export LANDFALL_CLOUD_MQTT=0.0.0.0:1883
    fi
else
    export LANDFALL_CLOUD_ENABLED=false
fi
if [[ "$(option cloud)" == true && "$(option dns)" == true ]]; then
    export LANDFALL_CLOUD_DNS=0.0.0.0:53
else
    export LANDFALL_CLOUD_DNS=off
fi
advertise="$(option advertise)"
if [[ -n "$advertise" ]]; then
    export LANDFALL_CLOUD_ADVERTISE="$advertise"
fi

case "$(option mqtt)" in
    home_assistant)
        # The token goes by standard input: arguments can be seen by every process.
        if service="$(printf 'header = "Authorization: Bearer %s"\n' "${SUPERVISOR_TOKEN:-}" |
            curl --silent --fail --max-time 10 --config - "$supervisor/services/mqtt")"; then
            broker() {
                jq --raw-output --arg key "$1" '.data[$key] // "" | tostring' <<<"$service"
            }
            broker password >"$data/mqtt-password"
            export LANDFALL_MQTT_BROKER=external LANDFALL_MQTT_PASSWORD_FILE=mqtt-password
            LANDFALL_MQTT_HOST="$(broker host)"
            LANDFALL_MQTT_PORT="$(broker port)"
            LANDFALL_MQTT_USER="$(broker username)"
            LANDFALL_MQTT_TLS="$(broker ssl)"
            export LANDFALL_MQTT_HOST LANDFALL_MQTT_PORT LANDFALL_MQTT_USER LANDFALL_MQTT_TLS
            if [[ "$LANDFALL_MQTT_TLS" != true ]]; then
                LANDFALL_MQTT_TLS=false
            fi
        else
            echo "landfall: Home Assistant offers no MQTT broker: install its Mosquitto add-on; MQTT is off until then" >&2
            export LANDFALL_MQTT_BROKER=off
        fi
        ;;
    embedded) export LANDFALL_MQTT_BROKER=embedded ;;
    *) export LANDFALL_MQTT_BROKER=off ;;
esac

# Options of an older version of the add-on have none.
discovery="$(option discovery)"
if [[ -n "$discovery" ]]; then
    export LANDFALL_MQTT_DISCOVERY="$discovery"
fi

export LANDFALL_DATA_DIR="$data"
unset SUPERVISOR_TOKEN HASSIO_TOKEN
chown -R landfall:landfall "$data"
as_landfall=(setpriv --reuid landfall --regid landfall --clear-groups
    --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service --bounding-set=-all,+net_bind_service)
"${as_landfall[@]}" landfall check-install --no-names || true
exec "${as_landfall[@]}" landfall run
