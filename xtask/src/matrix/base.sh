# What the base's own programs are and say. Runs with the base's shell, without and with the layers:
# both have to print the same.
for file in /bin/* /sbin/* /usr/bin/* /usr/sbin/*; do
  if [ -x "$file" ]; then
    command -v "${file##*/}"
  fi
done
for program in sh bash ls cat sed grep tar gzip dpkg apt perl python3 busybox /hello; do
  if command -v "$program" >/dev/null; then
    echo "$program: $("$program" --version 2>&1 </dev/null | head -n 1)"
  fi
done
echo "hello" | sed s/hello/world/ | cat
# Nothing of the layers is mapped into what belongs to the base.
grep -c /openhands /proc/self/maps
