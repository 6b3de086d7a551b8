# Finds a directory that can be written, for scripts: `place`.
for place in "${HOME:-/}" /tmp /dev/shm; do
  [ -d "$place" ] && (: >"$place/.checks") 2>/dev/null && break
done
