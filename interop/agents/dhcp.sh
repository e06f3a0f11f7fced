#!/bin/sh
# What udhcpc does with a lease: address, gateway and DNS, as a device's network stack would take them.
case "$1" in
bound | renew)
    ip addr flush dev "$interface" scope global to 0.0.0.0/0
    ip addr add "$ip/${mask:-24}" dev "$interface"
    for gateway in $router; do
        ip route replace default via "$gateway"
    done
    : >/etc/resolv.conf
    for server in $dns; do
        echo "nameserver $server" >>/etc/resolv.conf
    done
    ;;
deconfig)
    ip link set "$interface" up
    ;;
esac
