#!/bin/sh
# The example programs under the names that the guides use:
#   NAMESRV_ADDR=localhost:9876 tools.sh org.apache.rocketmq.example.quickstart.Producer
script=$(readlink -f "$0")
. "$(dirname "$script")/common.sh"

case $1 in
    org.apache.rocketmq.example.quickstart.Producer) name=quickstart_producer ;;
    org.apache.rocketmq.example.quickstart.Consumer) name=quickstart_consumer ;;
    *)
        echo "Usage: tools.sh CLASS [ARGUMENT...], where CLASS is one of" >&2
        echo "    org.apache.rocketmq.example.quickstart.Producer" >&2
        echo "    org.apache.rocketmq.example.quickstart.Consumer" >&2
        exit 1
        ;;
esac
shift
find_program "$name" examples || not_built "$name" rmq-client "--example $name"
exec "$program" "$@"
