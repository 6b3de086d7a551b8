#!/openhands/tools/bin/bash
# Becomes the command that it is given, which starts the server, as the first process of a container. A process that it
# leaves beside it looks at the server, and prints what checks come to.
here=${BASH_SOURCE[0]%/*}
. "$here/place.sh"
(
  . "$here/frame.sh"
  . "$here/server.sh"
  look_at_the_server "$place/server.log"
) &
exec "$@" --host 127.0.0.1 --port 8000 >"$place/server.log" 2>&1
